/* The receive ring of AF_PACKET, version 2: slots of one size, each with a status that says whose it is. */

#pragma once
#include "common.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>

enum { BLOCK_BYTES = 1 << 18, BLOCKS = 16, SLOT_BYTES = 2048, SLOTS = BLOCK_BYTES / SLOT_BYTES * BLOCKS };

typedef struct { int socket; uint8_t *slots; uint32_t next; } packet_ring_t;

static inline packet_ring_t open_packet_ring(const char *interface) {
  packet_ring_t ring = {.socket = socket(AF_PACKET, SOCK_RAW, 0)};
  int version = TPACKET_V2, yes = 1;
  struct tpacket_req shape = {BLOCK_BYTES, BLOCKS, SLOT_BYTES, SLOTS};
  struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
  place.sll_ifindex = (int)if_nametoindex(interface);
  if (ring.socket < 0) DIE("AF_PACKET");
  if (setsockopt(ring.socket, SOL_PACKET, PACKET_VERSION, &version, sizeof version)) DIE("version");
  if (setsockopt(ring.socket, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes)) DIE("qdisc bypass");
  if (setsockopt(ring.socket, SOL_PACKET, PACKET_RX_RING, &shape, sizeof shape)) DIE("ring");
  int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
  ring.slots = mmap(NULL, (size_t)BLOCK_BYTES * BLOCKS, protection, flags, ring.socket, 0);
  if (ring.slots == MAP_FAILED) DIE("mmap");
  if (bind(ring.socket, (struct sockaddr *)&place, sizeof place)) DIE("bind");
  if (setsockopt(ring.socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes)) DIE("ignore outgoing");
  return ring;
}

/* The next frame, or NULL. */
static inline struct tpacket2_hdr *next_packet(packet_ring_t *ring) {
  struct tpacket2_hdr *header = (void *)(ring->slots + (size_t)ring->next * SLOT_BYTES);
  return __atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER ? header : NULL;
}

static inline void release_packet(packet_ring_t *ring, struct tpacket2_hdr *header) {
  __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
  ring->next = (ring->next + 1) % SLOTS;
}
