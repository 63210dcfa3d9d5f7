# The stack's only image: Apache Airflow, this project's other requirements, and the project itself.
FROM apache/airflow:3.3.2

# More Python packages, such as "s3fs" for XCom in S3; see .env.example.
ARG EXTRA_REQUIREMENTS=""

COPY --chown=airflow:0 requirements.txt constraints.txt pyproject.toml README.md /opt/airflow/
# Packages that the image has stay as Airflow tested them, if they satisfy requirements.txt; constraints.txt pins the others.
RUN lacking=$(mktemp) \
 && pip list --format=freeze | sed 's/==.*//' | tr 'A-Z_.' 'a-z--' | sed 's/.*/^&==/' | grep -v -f - constraints.txt > "$lacking" \
 && pip install --no-cache-dir -r requirements.txt -c "$lacking" ${EXTRA_REQUIREMENTS} \
 && rm "$lacking"

# Created here so that the volumes mounted over them belong to Airflow's user.
RUN mkdir -p /opt/airflow/xcom /opt/airflow/auth0_webhook_dead_letters
COPY --chown=airflow:0 plugins /opt/airflow/plugins
# Registers the connection types; Airflow still runs the code in plugins/.
RUN pip install --no-cache-dir --no-deps --editable /opt/airflow
COPY --chown=airflow:0 dags /opt/airflow/dags
COPY --chown=airflow:0 simulation /opt/airflow/simulation
COPY --chown=airflow:0 demo /opt/airflow/demo
# The health checks of docker-compose.yaml.
COPY --chown=airflow:0 stack/health.py /opt/airflow/stack/health.py
