/* drain recvmmsg|packet|native|generic [-c core] [-n bursts]: what an application pays for a frame that is there.

   One thread sends a burst from one namespace to the other, so that the kernel's part is done, and then takes it. */

#include "packet_ring.h"
#include "xsk.h"

enum { BURST = 1024, BATCH = 64 };

static volatile uint64_t sink; /* what was read of the frames, so that it is read */

static void enter(const char *namespace) {
  char path[64];
  snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
  int there = open(path, O_RDONLY);
  if (there < 0 || setns(there, CLONE_NEWNET)) DIE(path);
  close(there);
}

typedef struct {
  struct mmsghdr headers[BATCH];
  struct iovec places[BATCH];
  uint8_t payloads[BATCH][2048];
} batch_t;

static void lay_out(batch_t *batch, size_t length) {
  for (int i = 0; i < BATCH; i++) {
    batch->places[i] = (struct iovec){batch->payloads[i], length};
    batch->headers[i].msg_hdr.msg_iov = &batch->places[i];
    batch->headers[i].msg_hdr.msg_iovlen = 1;
  }
}

static int udp_socket(void) {
  int made = socket(AF_INET, SOCK_DGRAM, 0), size = 16 << 20;
  if (made < 0) DIE("socket");
  setsockopt(made, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  setsockopt(made, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  return made;
}

static long drain_socket(int from, batch_t *batch) {
  long got = 0;
  uint64_t sum = 0;
  for (int count; (count = recvmmsg(from, batch->headers, BATCH, MSG_DONTWAIT, NULL)) > 0; got += count)
    for (int i = 0; i < count; i++) sum += batch->payloads[i][0];
  sink += sum;
  return got;
}

static long drain_packets(packet_ring_t *ring) {
  long got = 0;
  uint64_t sum = 0;
  for (struct tpacket2_hdr *header; (header = next_packet(ring)); got++) {
    sum += ((uint8_t *)header)[header->tp_mac + HEADER_BYTES];
    release_packet(ring, header);
  }
  sink += sum;
  return got;
}

static long drain_xsk(xsk_t *xsk) {
  long got = 0;
  uint64_t sum = 0;
  for (uint32_t count; (count = waiting(&xsk->receive)); got += count) {
    for (uint32_t i = 0; i < count; i++) {
      sum += xsk->memory[received(xsk)->addr + HEADER_BYTES];
      refill(xsk);
    }
    release_entries(xsk);
  }
  sink += sum;
  return got;
}

static int by_cost(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

int main(int count, char **values) {
  if (count < 2) return 2;
  char kind = values[1][0];
  options_t options = read_options(count, values, 2, "c:n:", NULL);
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(DRAIN_PORT)}, peer = local;
  static batch_t outgoing, incoming;
  packet_ring_t packets = {0};
  xsk_t xsk = {0};
  int receiver = -1;
  double *costs = calloc((size_t)options.packets, sizeof *costs);
  if (!costs) DIE("memory");
  lay_out(&outgoing, PAYLOAD_BYTES);
  lay_out(&incoming, sizeof *incoming.payloads);
  enter("kbA");
  int sender = udp_socket();
  peer.sin_addr.s_addr = inet_addr(ECHO_ADDRESS);
  if (connect(sender, (struct sockaddr *)&peer, sizeof peer)) DIE("connect");
  enter("kbB");
  if (kind == 'r') {
    receiver = udp_socket();
    if (bind(receiver, (struct sockaddr *)&local, sizeof local)) DIE("bind");
  } else if (kind == 'p') {
    packets = open_packet_ring("kbvb");
    hold_port(DRAIN_PORT);
  } else {
    xsk = open_xsk("kbvb", DRAIN_PORT, kind == 'g' ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
  }
  long bursts = 0;
  for (long burst = 0; burst < options.packets; burst++) {
    for (int sent = 0; sent < BURST; sent += BATCH)
      if (sendmmsg(sender, outgoing.headers, BATCH, 0) != BATCH) DIE("sendmmsg");
    uint64_t begun = now_ns();
    long got = 0;
    if (kind == 'r') got = drain_socket(receiver, &incoming);
    else if (kind == 'p') got = drain_packets(&packets);
    else got = drain_xsk(&xsk);
    uint64_t ended = now_ns();
    if (got) costs[bursts++] = (double)(ended - begun) / (double)got;
  }
  if (!bursts) { fputs("no frame came\n", stderr); return 1; }
  qsort(costs, (size_t)bursts, sizeof *costs, by_cost);
  printf("{\"ns\":%.2f,\"p10_ns\":%.2f}\n", costs[bursts / 2], costs[bursts / 10]);
  return 0;
}
