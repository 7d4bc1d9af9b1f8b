/* The C program of `crosswire bench order-entry` over real wires, for `crosswire bench wire-to-wire`.

   What is decoded, decided and sent is order_entry.c's, unchanged. Sockets and rings are opened by wire_to_wire_c.py with
   the engine's own code, so that both have the same options; the loops over them are here. Over AF_XDP market data and
   orders share a ring, as in the engine; otherwise orders go through the kernel's TCP, which is the engine's way there. */

#define _GNU_SOURCE
#include "order_entry.c"
#include <linux/if_packet.h>
#include <sys/socket.h>

enum { STREAM_BYTES = 4096, DATAGRAM_BYTES = 2048 };

typedef struct { /* of one venue, as Python sets it */
  i64 market, orders; /* sockets */
  u8 *slots;          /* of AF_PACKET's ring */
  i64 slot_mask, slot_bytes, next, sent;
  u8 stream[HEADERS + STREAM_BYTES], datagram[DATAGRAM_BYTES];
} line_t;

i64 cw_line_bytes(void) { return sizeof(line_t); }

static i64 turn_time(engine_t *e) {
  i64 now_ns = e->clock_ns + ((i64)(__rdtsc() - (u64)e->clock_cycles) * e->clock_rate >> 26);
  return e->now_ns = now_ns > e->now_ns ? now_ns : e->now_ns;
}

/* AF_XDP: the turn is the yardstick's own; what the driver must be woken for, it is woken for. */
void cw_run_xdp(engine_t *e, line_t *lines, volatile i64 *stop) {
  while (!*stop) {
    cw_turn(e);
    for (int index = 0; index < VENUES; index++) {
      ring_t *ring = &e->rings[index];
      if (ring->unsent == 0) continue;
      sendto((int)lines[index].market, NULL, 0, MSG_DONTWAIT, NULL, 0);
      ring->unsent = 0;
      ring_reap(ring);
    }
  }
}

/* What came over the kernel's TCP, dressed as the segment that it was. */
static void take_stream(engine_t *e, int index, line_t *line, i64 now_ns) {
  ssize_t length = recv((int)line->orders, line->stream + HEADERS, STREAM_BYTES, MSG_DONTWAIT);
  if (length <= 0) return;
  put32(line->stream + 38, __builtin_bswap32(e->sessions[index].receive_next));
  put32(line->stream + 42, __builtin_bswap32(e->sessions[index].send_next));
  put16(line->stream + 48, 0xFFFF);
  take_segment(e, index, line->stream, line->stream + HEADERS, (int)length, now_ns);
}

/* Orders lie in the transmit ring with headers that the kernel makes itself. */
static void send_orders(engine_t *e, int index, line_t *line) {
  ring_t *ring = &e->rings[index];
  while ((u32)line->sent != ring->transmitted) {
    const descriptor_t *descriptor = &ring->transmit_descriptors[(u32)line->sent++ & ring->mask];
    send((int)line->orders, ring->umem + descriptor->address + HEADERS, descriptor->length - HEADERS, MSG_NOSIGNAL);
    ring->free_frames[ring->free_count++] = descriptor->address;
  }
  ring->unsent = 0;
}

void cw_run_packet(engine_t *e, line_t *lines, volatile i64 *stop) {
  while (!*stop) {
    i64 now_ns = turn_time(e);
    for (int index = 0; index < VENUES; index++) {
      line_t *line = &lines[index];
      struct tpacket2_hdr *header = (void *)(line->slots + (line->next & line->slot_mask) * line->slot_bytes);
      if (__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) {
        take_frame(e, index, (u8 *)header + header->tp_mac, header->tp_snaplen, now_ns);
        __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        line->next++;
      } else {
        take_stream(e, index, line, now_ns);
      }
    }
    for (int index = 0; index < VENUES; index++) send_orders(e, index, &lines[index]);
  }
}

void cw_run_sockets(engine_t *e, line_t *lines, volatile i64 *stop) {
  while (!*stop) {
    i64 now_ns = turn_time(e);
    for (int index = 0; index < VENUES; index++) {
      line_t *line = &lines[index];
      ssize_t length = recv((int)line->market, line->datagram, DATAGRAM_BYTES, MSG_DONTWAIT);
      if (length > 0) take_market_data(e, index, line->datagram, (int)length, now_ns);
      else take_stream(e, index, line, now_ns);
    }
    for (int index = 0; index < VENUES; index++) send_orders(e, index, &lines[index]);
  }
}
