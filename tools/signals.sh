# Signals of a recipe: whoever sends one to run.sh alone, such as a scheduler, means the command that
# it is running, which may save its work. Sourced by stages.sh.
# shellcheck shell=bash

passed_on=(TERM HUP USR1 USR2 XCPU INT) child='' last_signal='' interrupted=false

# signalled COMMAND...: runs a command that also gets the signals that only this shell is sent, as by
# a scheduler or `kill PID`, and waits until it has saved and ended; returns its exit code. It has the
# shell's stdin, and is in its process group: Ctrl-C and Ctrl-Z reach it from the terminal.
signalled() {
  local status=0 name
  last_signal='' child=''
  for name in "${passed_on[@]}"; do
    # shellcheck disable=SC2064 # the name of now is meant
    trap "pass_on $name" "$name"
  done
  # Commands in the background ignore SIGINT, unless told otherwise.
  (trap - INT QUIT; if [[ $(type -t "$1") == file ]]; then exec "$@"; else "$@"; fi) <&0 &
  child=$!
  if [[ $last_signal ]]; then kill -s "$last_signal" "$child" || true; fi # it came before the child
  interrupted=true
  while $interrupted; do # a signal ends `wait`, not the command
    interrupted=false status=0
    wait "$child" || status=$?
  done
  trap - "${passed_on[@]}"
  return "$status"
}

# pass_on SIGNAL: gives it to the command, unless that has it from the terminal's Ctrl-C, which goes
# to the whole process group.
pass_on() {
  local group foreground
  last_signal=$1 interrupted=true
  if [[ $1 == INT ]]; then
    read -r group foreground < <(ps -o pgid=,tpgid= -p $$ 2>/dev/null) || true
    if [[ ${group:-} && $group == "${foreground:-}" ]]; then return 0; fi
  fi
  if [[ $child ]]; then kill -s "$1" "$child" 2>/dev/null || true; fi
}
