/* sock ping|echo block|spin [-c core] [-n packets]: round trips over the kernel's UDP sockets. */

#include "common.h"

static struct sockaddr_in address(const char *host, uint16_t port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr(host)};
}

int main(int count, char **values) {
  if (count < 3) return 2;
  bool is_ping = !strcmp(values[1], "ping");
  int wait = strcmp(values[2], "spin") ? 0 : MSG_DONTWAIT;
  options_t options = read_options(count, values, 3, "c:n:", NULL);
  struct sockaddr_in local = address("0.0.0.0", is_ping ? PING_PORT : ECHO_PORT);
  struct sockaddr_in peer = address(ECHO_ADDRESS, ECHO_PORT);
  struct timeval patience = {1, 0};
  uint8_t buffer[2048] = {0};
  int end = socket(AF_INET, SOCK_DGRAM, 0);
  if (end < 0 || bind(end, (struct sockaddr *)&local, sizeof local)) DIE("bind");
  setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (!is_ping) {
    say_ready();
    while (!stopped) {
      socklen_t length = sizeof peer;
      ssize_t got = recvfrom(end, buffer, sizeof buffer, wait, (struct sockaddr *)&peer, &length);
      if (got > 0) sendto(end, buffer, (size_t)got, 0, (struct sockaddr *)&peer, length);
    }
    return 0;
  }
  if (connect(end, (struct sockaddr *)&peer, sizeof peer)) DIE("connect");
  settle();
  trips_t trips = begin_trips(options.packets);
  for (long number = 0; next_trip(&trips, number); number++) {
    uint64_t begun = now_ns();
    ssize_t got;
    put64(buffer, (uint64_t)number);
    calls++;
    if (send(end, buffer, PAYLOAD_BYTES, 0) < 0) DIE("send");
    do {
      calls++;
      got = recv(end, buffer, sizeof buffer, wait);
    } while (got < 0 && errno == EAGAIN && wait && now_ns() - begun < PATIENCE_NS);
    uint64_t ended = now_ns();
    if (got <= 0 || get64(buffer) != (uint64_t)number) trips.lost++;
    else keep_trip(&trips, number, ended - begun);
  }
  return print_trips(&trips);
}
