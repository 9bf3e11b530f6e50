#!/bin/bash
# A throw-away PostgreSQL on 127.0.0.1:5432 below the directory given: database and role "app" with a password,
# database "trusted" without, ten connections at most, no TLS.
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
data="$1/.pg"
install -d -o postgres -m 700 "$data"
run() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
cd /
run "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --no-locale >/dev/null
cat >"$data/pg_hba.conf" <<'HBA'
local all all trust
host trusted all 127.0.0.1/32 trust
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
HBA
run "$bin/postgres" -D "$data" -k "$data" -c listen_addresses= -c max_connections=10 &
for _ in $(seq 100); do run "$bin/psql" -h "$data" -c 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
run "$bin/psql" -h "$data" -q -c "create role app login password 'secret'" -c "create database app owner app" -c "create database trusted"
run "$bin/psql" -h "$data" -q app -c "create table customers(id int); grant all on customers to app"
run "$bin/pg_ctl" -D "$data" -w -m fast stop >/dev/null
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$bin/postgres" -D "$data" -k "$data" -c listen_addresses=127.0.0.1 -c max_connections=10
