// Package manifests has nothing but tests: of what examples/ and the Dockerfile give to Kubernetes, Helm, Docker and systemd. It is a module of
// its own, for the libraries of those are many, and none of them belongs to Ringway.
package manifests
