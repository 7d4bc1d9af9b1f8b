/* An AF_XDP socket by raw system calls: no libxdp, no libbpf; the steering program is assembled below.

   Half of the memory's frames receive, half transmit. The four rings have 32-bit indices that wrap; `own` is ours. */

#pragma once
#include "common.h"
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>

enum { CHUNK_BYTES = 2048, RING_ENTRIES = 2048, CHUNKS = 2 * RING_ENTRIES };

typedef struct { uint32_t *producer, *consumer, *flags; void *entries; uint32_t own; } xsk_ring_t;
typedef struct { int socket; uint8_t *memory; xsk_ring_t receive, transmit, fill, completion; uint32_t sent; } xsk_t;

static inline int bpf(int command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

/* IPv4 without options, no fragment, UDP to `port`: to the socket of the queue in `map`; all else to the kernel. */
static inline int load_program(int map, uint16_t port) {
#define INSTRUCTION(op, to, from, at, value) \
  ((struct bpf_insn){.code = (op), .dst_reg = (to), .src_reg = (from), .off = (at), .imm = (value)})
#define LOAD(size, to, from, at) INSTRUCTION(BPF_LDX | BPF_MEM | (size), to, from, at, 0)
#define PASS_UNLESS(reg, value) INSTRUCTION(BPF_JMP | BPF_JNE | BPF_K, reg, 0, PASS, value)
  enum { PASS = 0x7fff }; /* set to the way out once its place is known */
  struct bpf_insn program[] = {
      INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0), /* r6 = context */
      LOAD(BPF_W, 2, 1, 0),                                 /* r2 = data */
      LOAD(BPF_W, 3, 1, 4),                                 /* r3 = its end */
      INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0),
      INSTRUCTION(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, 38),
      INSTRUCTION(BPF_JMP | BPF_JGT | BPF_X, 4, 3, PASS, 0),
      LOAD(BPF_H, 5, 2, 12),
      PASS_UNLESS(5, htons(0x0800)),
      LOAD(BPF_B, 5, 2, 14),
      PASS_UNLESS(5, 0x45),
      LOAD(BPF_H, 5, 2, 20),
      INSTRUCTION(BPF_ALU64 | BPF_AND | BPF_K, 5, 0, 0, htons(0x3fff)), /* more fragments, or an offset */
      PASS_UNLESS(5, 0),
      LOAD(BPF_B, 5, 2, 23),
      PASS_UNLESS(5, IPPROTO_UDP),
      LOAD(BPF_H, 5, 2, 36),
      PASS_UNLESS(5, htons(port)),
      LOAD(BPF_W, 2, 6, 16), /* r2 = the queue */
      INSTRUCTION(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map),
      INSTRUCTION(0, 0, 0, 0, 0),
      INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, XDP_PASS), /* no socket there */
      INSTRUCTION(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
      INSTRUCTION(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
      INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS),
      INSTRUCTION(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  enum { LENGTH = sizeof program / sizeof *program };
  static char log[65536];
  union bpf_attr load;
  for (int at = 0; at < LENGTH; at++)
    if (program[at].off == PASS) program[at].off = (int16_t)(LENGTH - 2 - at - 1);
  memset(&load, 0, sizeof load);
  load.prog_type = BPF_PROG_TYPE_XDP;
  load.insns = (uint64_t)program;
  load.insn_cnt = LENGTH;
  load.license = (uint64_t)"GPL";
  load.log_buf = (uint64_t)log;
  load.log_size = sizeof log;
  load.log_level = 1;
  load.expected_attach_type = BPF_XDP;
  int loaded = bpf(BPF_PROG_LOAD, &load);
  if (loaded < 0) { fputs(log, stderr); DIE("program"); }
  return loaded;
}

static inline xsk_ring_t map_ring(int socket, const struct xdp_ring_offset *offset, off_t page, size_t entry_bytes) {
  size_t length = offset->desc + RING_ENTRIES * entry_bytes;
  uint8_t *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket, page);
  if (at == MAP_FAILED) DIE("ring");
  xsk_ring_t ring = {.entries = at + offset->desc};
  ring.producer = (void *)(at + offset->producer);
  ring.consumer = (void *)(at + offset->consumer);
  ring.flags = (void *)(at + offset->flags);
  return ring;
}

/* Steer queue 0's frames for `port` to the socket. The program goes away with the process. */
static inline void steer(int socket, uint32_t interface, uint16_t port, uint32_t mode) {
  union bpf_attr attributes;
  uint32_t queue = 0;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_type = BPF_MAP_TYPE_XSKMAP;
  attributes.key_size = attributes.value_size = 4;
  attributes.max_entries = 1;
  int map = bpf(BPF_MAP_CREATE, &attributes);
  if (map < 0) DIE("map");
  memset(&attributes, 0, sizeof attributes);
  attributes.map_fd = (uint32_t)map;
  attributes.key = (uint64_t)&queue;
  attributes.value = (uint64_t)&socket;
  if (bpf(BPF_MAP_UPDATE_ELEM, &attributes)) DIE("map entry");
  memset(&attributes, 0, sizeof attributes);
  attributes.link_create.prog_fd = (uint32_t)load_program(map, port);
  attributes.link_create.target_ifindex = interface;
  attributes.link_create.attach_type = BPF_XDP;
  attributes.link_create.flags = mode;
  if (bpf(BPF_LINK_CREATE, &attributes) < 0) DIE("link");
}

/* `mode`: XDP_FLAGS_SKB_MODE (generic) or XDP_FLAGS_DRV_MODE (native). */
static inline xsk_t open_xsk(const char *interface, uint16_t port, uint32_t mode) {
  xsk_t xsk = {.socket = socket(AF_XDP, SOCK_RAW, 0)};
  int entries = RING_ENTRIES;
  struct xdp_mmap_offsets offsets;
  socklen_t length = sizeof offsets;
  if (xsk.socket < 0) DIE("AF_XDP");
  struct xdp_umem_reg memory = {.len = (uint64_t)CHUNKS * CHUNK_BYTES, .chunk_size = CHUNK_BYTES};
  xsk.memory = mmap(NULL, memory.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (xsk.memory == MAP_FAILED) DIE("memory");
  memory.addr = (uint64_t)xsk.memory;
  if (setsockopt(xsk.socket, SOL_XDP, XDP_UMEM_REG, &memory, sizeof memory)) DIE("XDP_UMEM_REG");
  static const int rings[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
  for (int i = 0; i < 4; i++)
    if (setsockopt(xsk.socket, SOL_XDP, rings[i], &entries, sizeof entries)) DIE("rings");
  if (getsockopt(xsk.socket, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length)) DIE("offsets");
  xsk.receive = map_ring(xsk.socket, &offsets.rx, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc));
  xsk.transmit = map_ring(xsk.socket, &offsets.tx, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc));
  xsk.fill = map_ring(xsk.socket, &offsets.fr, XDP_UMEM_PGOFF_FILL_RING, 8);
  xsk.completion = map_ring(xsk.socket, &offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING, 8);
  for (uint64_t chunk = 0; chunk < RING_ENTRIES; chunk++)
    ((uint64_t *)xsk.fill.entries)[chunk] = chunk * CHUNK_BYTES;
  xsk.fill.own = RING_ENTRIES;
  __atomic_store_n(xsk.fill.producer, xsk.fill.own, __ATOMIC_RELEASE);
  struct sockaddr_xdp place = {.sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP};
  place.sxdp_ifindex = if_nametoindex(interface);
  /* The kernel gives a closed socket's queue back a little later. */
  for (uint64_t begun = now_ns(); bind(xsk.socket, (struct sockaddr *)&place, sizeof place); usleep(1000))
    if (errno != EBUSY || now_ns() - begun > 3 * PATIENCE_NS) DIE("bind");
  steer(xsk.socket, place.sxdp_ifindex, port, mode);
  return xsk;
}

/* How many entries wait in a ring that the kernel fills. */
static inline uint32_t waiting(const xsk_ring_t *ring) {
  return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - ring->own;
}

static inline struct xdp_desc *received(const xsk_t *xsk) {
  return (struct xdp_desc *)xsk->receive.entries + (xsk->receive.own & (RING_ENTRIES - 1));
}

/* Give the frame of the oldest received entry back; `release_entries` tells the kernel. */
static inline void refill(xsk_t *xsk) {
  uint64_t chunk = received(xsk)->addr & ~(uint64_t)(CHUNK_BYTES - 1);
  ((uint64_t *)xsk->fill.entries)[xsk->fill.own++ & (RING_ENTRIES - 1)] = chunk;
  xsk->receive.own++;
}

static inline void release_entries(xsk_t *xsk) {
  __atomic_store_n(xsk->fill.producer, xsk->fill.own, __ATOMIC_RELEASE);
  __atomic_store_n(xsk->receive.consumer, xsk->receive.own, __ATOMIC_RELEASE);
}

/* The place of the next frame to send. */
static inline uint64_t next_chunk(xsk_t *xsk) {
  return (uint64_t)(RING_ENTRIES + (xsk->sent++ & (RING_ENTRIES - 1))) * CHUNK_BYTES;
}

static inline void push(xsk_t *xsk, uint64_t at, uint32_t length) {
  struct xdp_desc *entries = xsk->transmit.entries;
  entries[xsk->transmit.own++ & (RING_ENTRIES - 1)] = (struct xdp_desc){at, length, 0};
  __atomic_store_n(xsk->transmit.producer, xsk->transmit.own, __ATOMIC_RELEASE);
}

static inline bool wants_wakeup(const xsk_ring_t *ring) {
  return __atomic_load_n(ring->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

static inline void wake_transmit(xsk_t *xsk) {
  if (!wants_wakeup(&xsk->transmit)) return;
  calls++;
  ssize_t done = sendto(xsk->socket, NULL, 0, MSG_DONTWAIT, NULL, 0);
  if (done < 0 && errno != EAGAIN && errno != EBUSY && errno != ENOBUFS && errno != ENETDOWN) DIE("wake-up");
}

static inline void wake_receive(xsk_t *xsk) {
  if (!wants_wakeup(&xsk->fill)) return;
  calls++;
  recvfrom(xsk->socket, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static inline void take_completions(xsk_t *xsk) {
  uint32_t done = waiting(&xsk->completion);
  if (!done) return;
  xsk->completion.own += done;
  __atomic_store_n(xsk->completion.consumer, xsk->completion.own, __ATOMIC_RELEASE);
}
