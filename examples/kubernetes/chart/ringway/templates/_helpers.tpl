{{- define "ringway.name" -}}
{{- if contains "ringway" .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-ringway" .Release.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "ringway.selector" -}}
app.kubernetes.io/name: ringway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ringway.labels" -}}
{{ include "ringway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "ringway.proxyyml" -}}
{{ toYaml .Values.config }}
admin:
  listen: {{ printf ":%v" .Values.adminPort | quote }}
log: {level: {{ .Values.logLevel }}, format: json}
start: {require: {{ .Values.start.require }}, wait: {{ .Values.start.wait }}}
shutdown: {drain_delay: {{ .Values.drainDelaySeconds }}{{ if .Values.drainDelaySeconds }}s{{ end }}, drain_timeout: {{ .Values.drainTimeoutSeconds }}s}
{{- end }}
