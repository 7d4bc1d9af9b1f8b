/* xsk ping|echo INTERFACE -m native|generic [-c core] [-n packets]: round trips over AF_XDP in copy mode, spinning. */

#include "xsk.h"

static uint32_t mode;

static void more(int option) {
  (void)option;
  mode = strcmp(optarg, "generic") ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

static int echo(xsk_t *xsk) {
  say_ready();
  while (!stopped) {
    uint32_t count = waiting(&xsk->receive);
    if (!count) { wake_receive(xsk); continue; }
    for (; count; count--) {
      struct xdp_desc *got = received(xsk);
      uint64_t at = next_chunk(xsk);
      memcpy(xsk->memory + at, xsk->memory + got->addr, got->len);
      turn_round(xsk->memory + at);
      push(xsk, at, got->len);
      refill(xsk);
    }
    release_entries(xsk);
    wake_transmit(xsk);
    take_completions(xsk);
  }
  return 0;
}

static int ping(xsk_t *xsk, const char *interface, long packets) {
  uint8_t frame[FRAME_BYTES];
  trips_t trips = begin_trips(packets);
  write_frame(frame, interface);
  for (uint64_t chunk = RING_ENTRIES; chunk < CHUNKS; chunk++)
    memcpy(xsk->memory + chunk * CHUNK_BYTES, frame, sizeof frame);
  settle();
  for (long number = 0; next_trip(&trips, number); number++) {
    uint64_t at = next_chunk(xsk), begun = now_ns(), ended = begun;
    bool is_back = false;
    put64(xsk->memory + at + HEADER_BYTES, (uint64_t)number);
    push(xsk, at, FRAME_BYTES);
    wake_transmit(xsk);
    while (!is_back && ended - begun < PATIENCE_NS) {
      if (waiting(&xsk->receive)) {
        struct xdp_desc *got = received(xsk);
        is_back = got->len >= HEADER_BYTES + 8 && get64(xsk->memory + got->addr + HEADER_BYTES) == (uint64_t)number;
        ended = now_ns();
        refill(xsk);
        release_entries(xsk);
      } else {
        wake_receive(xsk);
        ended = now_ns();
      }
    }
    if (is_back) keep_trip(&trips, number, ended - begun);
    else trips.lost++;
    take_completions(xsk);
  }
  return print_trips(&trips);
}

int main(int count, char **values) {
  if (count < 3) return 2;
  bool is_ping = !strcmp(values[1], "ping");
  options_t options = read_options(count, values, 3, "c:n:m:", more);
  xsk_t xsk = open_xsk(values[2], is_ping ? PING_PORT : ECHO_PORT, mode);
  return is_ping ? ping(&xsk, values[2], options.packets) : echo(&xsk);
}
