package proxy

// Files lists the files that the configuration names and that are read again when they change: those of users, certificates, keys, authorities and
// passwords.
func (srv *Server) Files() []string { return append(srv.usersFiles(), srv.keys.Load().files()...) }

// RereadFiles takes over what has changed in those files. What can't be used is told, and what was there before stays. Connections stay as they are,
// but for those to nodes with another password now, which are replaced as with a reload, and those of users who are gone.
func (srv *Server) RereadFiles() {
	srv.rereadUsers()
	srv.rereadKeys()
}
