/* What the C yardsticks of `crosswire bench stack` share: clock, core, frames, and the line of figures at the end.

   Each program does what one of the engine's rings does and nothing else: one flow, frames of one size, no other
   protocol, no checks that the measured network makes pointless. The network is the one that stack.py makes. */

#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ECHO_PORT = 7000, PING_PORT = 7001, DRAIN_PORT = 7300 };
enum { HEADER_BYTES = 42, PAYLOAD_BYTES = 32, FRAME_BYTES = HEADER_BYTES + PAYLOAD_BYTES };
enum { LOST_MAX = 20 };
#define PING_ADDRESS "10.99.0.1"
#define ECHO_ADDRESS "10.99.0.2"
#define PATIENCE_NS 1000000000ull /* after that an answer counts as lost */

#define DIE(what) (fprintf(stderr, "%s: %s\n", what, strerror(errno)), exit(1))

static uint64_t calls; /* every system call of a data path adds one */
static volatile sig_atomic_t stopped;

static inline void on_stop(int number) { (void)number; stopped = 1; }

static inline uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static inline uint64_t get64(const uint8_t *at) { uint64_t value; memcpy(&value, at, 8); return value; }
static inline void put64(uint8_t *at, uint64_t value) { memcpy(at, &value, 8); }
static inline void put16(uint8_t *at, uint16_t value) { value = htons(value); memcpy(at, &value, 2); }

/* Options that all programs have: -c core, -n packets; any other that is `known` goes to `more`. */
typedef struct { int core; long packets; } options_t;

static inline options_t read_options(int count, char **values, int first, const char *known, void (*more)(int)) {
  options_t options = {-1, 20000};
  optind = first;
  for (int option; (option = getopt(count, values, known)) != -1;) {
    if (option == 'c') options.core = atoi(optarg);
    else if (option == 'n') options.packets = atol(optarg);
    else if (option != '?' && more) more(option);
    else exit(2);
  }
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(options.core, &cores);
  if (options.core >= 0 && sched_setaffinity(0, sizeof cores, &cores)) DIE("affinity");
  struct sigaction action = {.sa_handler = on_stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  return options;
}

/* The echo says when it listens; the ping lets the far end's program settle. */
static inline void say_ready(void) { puts("ready"); fflush(stdout); }
static inline void settle(void) { usleep(200000); }

/* ---- Round trips: their times, and the process's switches and calls since the warm-up. */

typedef struct { uint64_t *ns; long wanted, warm_up, kept, lost; long switches; uint64_t calls; } trips_t;

static inline long switches(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw + usage.ru_nivcsw;
}

static inline trips_t begin_trips(long wanted) {
  trips_t trips = {.ns = malloc(8 * (size_t)wanted), .wanted = wanted, .warm_up = wanted / 10};
  if (!trips.ns) DIE("memory");
  memset(trips.ns, 0, 8 * (size_t)wanted);
  return trips;
}

/* Whether trip `number` is to be made. */
static inline bool next_trip(trips_t *trips, long number) {
  if (number == trips->warm_up) { trips->switches = switches(); trips->calls = calls; }
  return number < trips->wanted + trips->warm_up && trips->lost <= LOST_MAX && !stopped;
}

static inline void keep_trip(trips_t *trips, long number, uint64_t ns) {
  if (number >= trips->warm_up) trips->ns[trips->kept++] = ns;
}

static inline int by_size(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

static inline double square_root(double of) { /* Newton's: no -lm for one figure */
  double root = of / 2 + 1;
  for (int turn = 0; turn < 60; turn++) root = (root + of / root) / 2;
  return root;
}

/* One JSON object, times in us, in the words of stack_end.py. */
static inline int print_trips(trips_t *trips) {
  long n = trips->kept;
  if (n < 2) { fprintf(stderr, "no answers, %ld lost\n", trips->lost); return 1; }
  double calls_each = (double)(calls - trips->calls) / (double)n;
  double switches_each = (double)(switches() - trips->switches) / (double)n;
  double sum = 0, squares = 0;
  for (long i = 0; i < n; i++) sum += (double)trips->ns[i];
  for (long i = 0; i < n; i++) {
    double off = (double)trips->ns[i] - sum / (double)n;
    squares += off * off;
  }
  qsort(trips->ns, (size_t)n, 8, by_size);
#define AT(share) ((double)trips->ns[(long)((share) * (double)(n - 1))] / 1e3)
  printf("{\"n\":%ld,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,", n, AT(.5), AT(.9), AT(.99));
  printf("\"p999\":%.3f,\"max\":%.3f,", AT(.999), AT(1));
  printf("\"jitter\":%.3f,", square_root(squares / (double)(n - 1)) / 1e3);
  printf("\"switches\":%.6f,\"calls\":%.4f,\"lost\":%ld}\n", switches_each, calls_each, trips->lost);
  return 0;
}

/* ---- Frames. */

static inline void hardware_address(const char *interface, uint8_t *to) {
  struct ifreq request;
  int asked = socket(AF_INET, SOCK_DGRAM, 0);
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  if (asked < 0 || ioctl(asked, SIOCGIFHWADDR, &request)) DIE(interface);
  memcpy(to, request.ifr_hwaddr.sa_data, 6);
  close(asked);
}

static inline uint16_t ip_checksum(const uint8_t *header) {
  uint32_t sum = 0;
  for (int at = 0; at < 20; at += 2) sum += (uint32_t)(header[at] << 8 | header[at + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

/* The ping's frame; the UDP checksum 0 means none, which IPv4 allows. */
static inline void write_frame(uint8_t *frame, const char *interface) {
  static const uint8_t echo_end[6] = {0x02, 0, 0, 0x99, 0, 0x02};
  uint32_t source = inet_addr(PING_ADDRESS), destination = inet_addr(ECHO_ADDRESS);
  uint8_t *ip = frame + 14, *udp = ip + 20;
  memset(frame, 0, FRAME_BYTES);
  memcpy(frame, echo_end, 6);
  hardware_address(interface, frame + 6);
  put16(frame + 12, 0x0800);
  ip[0] = 0x45;
  put16(ip + 2, 28 + PAYLOAD_BYTES);
  ip[6] = 0x40; /* don't fragment */
  ip[8] = 64;
  ip[9] = IPPROTO_UDP;
  memcpy(ip + 12, &source, 4);
  memcpy(ip + 16, &destination, 4);
  put16(ip + 10, ip_checksum(ip));
  put16(udp, PING_PORT);
  put16(udp + 2, ECHO_PORT);
  put16(udp + 4, 8 + PAYLOAD_BYTES);
}

/* Turn a UDP frame round in place. The IP checksum stays right: its sum does not depend on the order. */
static inline void turn_round(uint8_t *frame) {
  uint8_t kept[6];
  memcpy(kept, frame, 6);
  memcpy(frame, frame + 6, 6);
  memcpy(frame + 6, kept, 6);
  memcpy(kept, frame + 26, 4);
  memcpy(frame + 26, frame + 30, 4);
  memcpy(frame + 30, kept, 4);
  memcpy(kept, frame + 34, 2);
  memcpy(frame + 34, frame + 36, 2);
  memcpy(frame + 36, kept, 2);
}

/* Hold a UDP port with a socket that takes nothing.

   AF_PACKET only copies: the kernel's stack still gets every frame. With no socket on the port it looks for one in vain
   and begins an ICMP answer for every frame, which was a third of the round trip (8.1 us for 5.9). */
static inline void hold_port(uint16_t port) {
  struct sock_filter reject = {BPF_RET | BPF_K, 0, 0, 0};
  struct sock_fprog program = {1, &reject};
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(port)};
  int held = socket(AF_INET, SOCK_DGRAM, 0);
  if (held < 0 || setsockopt(held, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)) DIE("filter");
  if (bind(held, (struct sockaddr *)&local, sizeof local)) DIE("bind");
}
