#!/bin/bash
# A throw-away MariaDB on 127.0.0.1:3306 below the directory given: database and user "app" with a password. Further
# arguments are options of the server.
set -e
data="$1/.my"; shift
rm -rf "$data"; mkdir -p "$data/d"
mariadb-install-db --no-defaults --datadir="$data/d" --auth-root-authentication-method=normal --skip-test-db --user=root >/dev/null
cat >"$data/init.sql" <<'SQL'
create database app;
create user 'app'@'%' identified by 'secret';
grant all on app.* to 'app'@'%';
create user 'admin'@'%' identified by 'secret';
grant all on *.* to 'admin'@'%';
create table app.customers(id int);
SQL
exec /usr/sbin/mariadbd --no-defaults --user=root --datadir="$data/d" --socket="$data/s.sock" --pid-file="$data/p.pid" \
  --bind-address=127.0.0.1 --port=3306 --skip-name-resolve --init-file="$data/init.sql" --innodb-buffer-pool-size=16M "$@"
