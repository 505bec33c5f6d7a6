{{/* The pod, the same for one replica on a volume and several on PostgreSQL. */}}
{{- define "prow-notifier.pod" -}}
metadata:
  labels:
    {{- include "prow-notifier.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "prow-notifier.serviceAccount" . }}
  automountServiceAccountToken: {{ eq (include "prow-notifier.needsToken" .) "yes" }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if .Values.postgres.enabled }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "prow-notifier.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: prow-notifier
      image: {{ include "prow-notifier.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- with .Values.config.shippedRules }}
        - --config
        - /usr/share/prow-notifier/{{ . }}.yaml
        {{- end }}
        - --config
        - /etc/prow-notifier
        - serve
      {{- with .Values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: 8080
      startupProbe:
        httpGet:
          path: /healthz
          port: http
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet:
          path: /healthz
          port: http
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet:
          path: /readyz
          port: http
        periodSeconds: 5
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        runAsNonRoot: true
        privileged: false
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        {{- if not .Values.postgres.enabled }}
        - name: state
          mountPath: /var/lib/prow-notifier
        {{- end }}
        - name: config
          mountPath: /etc/prow-notifier
          readOnly: true
        - name: secrets
          mountPath: /etc/prow-notifier/secrets
          readOnly: true
        - name: slack-by-service
          mountPath: /etc/prow-notifier/secrets/slack
          readOnly: true
        {{- if .Values.postgres.enabled }}
        - name: postgres
          mountPath: /etc/prow-notifier/secrets/postgres
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      projected:
        sources:
          - configMap:
              name: {{ .Values.config.existingConfigMap | default (printf "%s-config" (include "prow-notifier.fullname" .)) }}
          {{- if include "prow-notifier.hasSettings" . }}
          - configMap:
              name: {{ include "prow-notifier.fullname" . }}-settings
          {{- end }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          - secret:
              name: {{ .Values.secrets.slack }}
          {{- if .Values.secrets.hmac.name }}
          - secret:
              name: {{ .Values.secrets.hmac.name }}
              optional: true
              items:
                - key: {{ .Values.secrets.hmac.key }}
                  path: hmac
          {{- end }}
    - name: slack-by-service
      secret:
        secretName: {{ .Values.secrets.slackByService }}
        defaultMode: 0440
        optional: true
    {{- if .Values.postgres.enabled }}
    - name: postgres
      secret:
        secretName: {{ .Values.postgres.existingSecret }}
        defaultMode: 0440
    {{- else if not .Values.persistence.enabled }}
    - name: state
      emptyDir: {}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
