#!/bin/bash
# A throw-away RabbitMQ on 127.0.0.1:5672 below the directory given: guest/guest, virtual host "/".
data="$1/.mq"
mkdir -p "$data"
export HOME="$data" RABBITMQ_MNESIA_BASE="$data/mnesia" RABBITMQ_LOG_BASE="$data/log" RABBITMQ_NODENAME=corpus@localhost \
  RABBITMQ_PID_FILE="$data/pid" RABBITMQ_ENABLED_PLUGINS_FILE="$data/plugins" RABBITMQ_CONF_ENV_FILE=/dev/null \
  ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +sbwt none"
exec /usr/lib/rabbitmq/bin/rabbitmq-server
