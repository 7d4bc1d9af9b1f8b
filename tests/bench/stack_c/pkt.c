/* pkt ping|echo INTERFACE [-c core] [-n packets]: round trips over AF_PACKET.

   Received from its ring, spinning; sent by send() past the queueing discipline. The port is held, as the engine's
   AF_PACKET ring holds its own: see hold_port. */

#include "packet_ring.h"

static void send_frame(packet_ring_t *ring, const uint8_t *frame, size_t length) {
  calls++;
  if (send(ring->socket, frame, length, 0) < 0 && errno != ENOBUFS) DIE("send");
}

static int echo(packet_ring_t *ring) {
  uint8_t frame[SLOT_BYTES];
  say_ready();
  while (!stopped) {
    struct tpacket2_hdr *header = next_packet(ring);
    if (!header) continue;
    size_t length = header->tp_snaplen;
    memcpy(frame, (uint8_t *)header + header->tp_mac, length);
    release_packet(ring, header);
    turn_round(frame);
    send_frame(ring, frame, length);
  }
  return 0;
}

static int ping(packet_ring_t *ring, const char *interface, long packets) {
  uint8_t frame[FRAME_BYTES];
  trips_t trips = begin_trips(packets);
  write_frame(frame, interface);
  settle();
  for (long number = 0; next_trip(&trips, number); number++) {
    uint64_t begun = now_ns(), ended = begun;
    bool is_back = false;
    put64(frame + HEADER_BYTES, (uint64_t)number);
    send_frame(ring, frame, sizeof frame);
    while (!is_back && ended - begun < PATIENCE_NS) {
      struct tpacket2_hdr *header = next_packet(ring);
      if (header) {
        const uint8_t *got = (uint8_t *)header + header->tp_mac;
        is_back = header->tp_snaplen >= HEADER_BYTES + 8 && get64(got + HEADER_BYTES) == (uint64_t)number;
        ended = now_ns();
        release_packet(ring, header);
      } else ended = now_ns();
    }
    if (is_back) keep_trip(&trips, number, ended - begun);
    else trips.lost++;
  }
  return print_trips(&trips);
}

int main(int count, char **values) {
  if (count < 3) return 2;
  bool is_ping = !strcmp(values[1], "ping");
  options_t options = read_options(count, values, 3, "c:n:", NULL);
  packet_ring_t ring = open_packet_ring(values[2]);
  hold_port(is_ping ? PING_PORT : ECHO_PORT);
  return is_ping ? ping(&ring, values[2], options.packets) : echo(&ring);
}
