/* The yardstick of `crosswire bench order-entry`: what the engine does between a market data frame and an order, in C.

   One thread, two venues of one instrument each, no system call, no allocation, no library. Frames and rings are those
   that the engine is measured with (AF_XDP's: fill, receive, transmit, completion), in plain memory. It does what the
   engine's line does on these frames and nothing for other venues, strategies or life cycles: no snapshots, no
   recovery, no retransmission timer, no opportunity or trade records, one kind of order.

   Stamps are the engine's own: lfence rdtsc lfence at the start, mfence lfence rdtsc at the end, inside here. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <immintrin.h>
#include <x86intrin.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int64_t i64;
typedef uint64_t u64;

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define INLINE static inline __attribute__((always_inline))

enum { VENUES = 2, INSTRUMENTS = 2 };
enum { BUY = 0, SELL = 1, BID = 0, ASK = 1 };

INLINE u64 cycles_at_start(void) { _mm_lfence(); u64 cycles = __rdtsc(); _mm_lfence(); return cycles; }
INLINE u64 cycles_at_end(void) { _mm_mfence(); _mm_lfence(); return __rdtsc(); }

INLINE u16 get16(const u8 *at) { u16 value; memcpy(&value, at, 2); return value; }
INLINE u32 get32(const u8 *at) { u32 value; memcpy(&value, at, 4); return value; }
INLINE i64 get64(const u8 *at) { i64 value; memcpy(&value, at, 8); return value; }
INLINE u16 big16(const u8 *at) { return __builtin_bswap16(get16(at)); }
INLINE u32 big32(const u8 *at) { return __builtin_bswap32(get32(at)); }
INLINE void put16(u8 *at, u16 value) { memcpy(at, &value, 2); }
INLINE void put32(u8 *at, u32 value) { memcpy(at, &value, 4); }
INLINE void put64(u8 *at, i64 value) { memcpy(at, &value, 8); }
INLINE u32 load_acquire(const u32 *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
INLINE void store_release(u32 *at, u32 value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }

/* With -DSTAGES the counter is read at the stages' borders too. */
enum { MARKS = 6 };
#ifdef STAGES
#define MARK(e, place) ((e)->marks[place] = (i64)cycles_at_start())
#else
#define MARK(e, place) ((void)0)
#endif

/* ---- Ring: one AF_XDP socket. */

typedef struct { u64 address; u32 length, options; } descriptor_t;

typedef struct {
  u32 received, received_end, transmitted, completed, free_count, unsent, mask, frame_mask;
  u8 *umem;
  u64 polled;
  u32 *receive_producer, *receive_consumer, *fill_producer;
  u32 *transmit_producer, *transmit_flags, *completion_producer, *completion_consumer;
  descriptor_t *receive_descriptors, *transmit_descriptors;
  u64 *fill_addresses, *completion_addresses, *free_frames;
} ring_t;

INLINE u8 *ring_poll(ring_t *ring, u32 *length) {
  if (ring->received == ring->received_end) {
    ring->received_end = load_acquire(ring->receive_producer);
    if (ring->received == ring->received_end) return NULL;
  }
  const descriptor_t *descriptor = &ring->receive_descriptors[ring->received & ring->mask];
  ring->polled = descriptor->address;
  *length = descriptor->length;
  return ring->umem + descriptor->address;
}

INLINE void ring_release(ring_t *ring) {
  ring->fill_addresses[ring->received & ring->mask] = ring->polled & ~(u64)ring->frame_mask;
  ring->received++;
  if (ring->received == ring->received_end || (ring->received & 63) == 0) {
    store_release(ring->fill_producer, ring->received + ring->mask + 1);
    store_release(ring->receive_consumer, ring->received);
  }
}

static void ring_reap(ring_t *ring) {
  u32 end = load_acquire(ring->completion_producer);
  if (end == ring->completed) return;
  while (ring->completed != end)
    ring->free_frames[ring->free_count++] = ring->completion_addresses[ring->completed++ & ring->mask];
  store_release(ring->completion_consumer, end);
}

INLINE u8 *ring_reserve(ring_t *ring) {
  if (UNLIKELY(ring->free_count == 0)) ring_reap(ring);
  return LIKELY(ring->free_count != 0) ? ring->umem + ring->free_frames[ring->free_count - 1] : NULL;
}

INLINE void ring_commit(ring_t *ring, u32 length) {
  descriptor_t *descriptor = &ring->transmit_descriptors[ring->transmitted & ring->mask];
  descriptor->address = ring->free_frames[--ring->free_count];
  descriptor->length = length;
  descriptor->options = 0;
  ring->unsent++;
  store_release(ring->transmit_producer, ++ring->transmitted);
}

/* The driver of the bed never asks to be woken: no system call. */
INLINE void ring_flush(ring_t *ring) {
  if (ring->unsent == 0 || (load_acquire(ring->transmit_flags) & 1)) return;
  ring->unsent = 0;
  ring_reap(ring);
}

/* ---- Session: TCP's send side with its retransmit store, and Starbase's order entry on top. */

enum { HEADERS = 54, MESSAGE = 96, ORDER_FRAME = HEADERS + MESSAGE, SLOTS = 64, SLOT_BYTES = 192 };
enum { ACKNOWLEDGE_DELAY_NS = 40000000, RESEND_NS = 200000000 };
enum { READY = 2 };

enum { REMEMBERED = 4096, ORDER_TOKENS = 2000 };

typedef struct { u32 sequence, end; i64 sent_ns; } kept_t;
typedef struct { i64 sequence, id; i64 kind; } remembered_t; /* for the exchange's requests to resend */
typedef struct { i64 id, instrument_id, side, mantissa; } named_t; /* what its answers do not say of an order */

typedef struct {
  u32 send_una, send_next, receive_next, send_limit; /* wire numbers */
  u32 first, next;                                    /* of the retransmit store */
  u32 window;
  u32 constant_sum;                                   /* TCP checksum of all that is never patched, unfolded */
  i64 sequence, last_processed;                       /* Starbase's */
  i64 resend_ns, acknowledge_ns, last_sent_ns;
  i64 state, orders_sent;
  i64 tokens, tokens_ns, tokens_per_ns, tokens_full; /* the gateway's rate limit, in 1e-6 */
  kept_t kept[SLOTS];
  u8 template_[SLOT_BYTES] __attribute__((aligned(64)));
  u8 frames[SLOTS][SLOT_BYTES] __attribute__((aligned(64)));
  remembered_t remembered[REMEMBERED];
  named_t named[REMEMBERED];
} session_t;

/* A little-endian field counts as two 32-bit words, whose bytes are swapped at the end by a multiplication (RFC 1071). */
INLINE u64 field_sum(i64 value) { return (u32)value + ((u64)value >> 32); }

INLINE u16 fold(u64 sum) {
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return (u16)~sum;
}

static u64 sum_big(const u8 *at, int length) {
  u64 sum = 0;
  for (int position = 0; position + 1 < length; position += 2) sum += big16(at + position);
  return sum;
}

typedef struct { i64 id, instrument_id, price_e9, mantissa, side, time_in_force; } order_t;

/* Both copies, the kept one and the sent one, are made from the template and patched alike: a copy of what has just been
   patched would wait for those stores to leave the store buffer. */
INLINE void patch(u8 *frame, const u8 *template_, const session_t *s, const order_t *o, u16 checksum, i64 now_ns) {
  for (int at = 0; at < 160; at += 32)
    _mm256_storeu_si256((void *)(frame + at), _mm256_load_si256((const void *)(template_ + at)));
  put32(frame + 38, __builtin_bswap32(s->send_next));
  put32(frame + 42, __builtin_bswap32(s->receive_next));
  put16(frame + 50, __builtin_bswap16(checksum));
  u8 *message = frame + HEADERS;
  put64(message + 8, s->sequence);
  put64(message + 16, s->last_processed);
  put64(message + 24, now_ns);
  put64(message + 32, o->id);
  put64(message + 40, o->id);
  put64(message + 48, o->instrument_id);
  put64(message + 56, o->price_e9);
  put64(message + 64, o->mantissa);
  put16(message + 90, (u16)((u8)o->side | (u16)(u8)o->time_in_force << 8));
}

/* 0: nothing was sent. */
INLINE int send_order(session_t *s, ring_t *ring, const order_t *o, i64 now_ns) {
  if (UNLIKELY(s->state != READY)) return 0;
  if (UNLIKELY(s->next - s->first == SLOTS || (i64)(i64)(int32_t)(s->send_limit - s->send_next) < MESSAGE)) return 0;
  i64 tokens = s->tokens + (now_ns - s->tokens_ns) * s->tokens_per_ns;
  tokens = tokens < s->tokens_full ? tokens : s->tokens_full;
  if (UNLIKELY(tokens < ORDER_TOKENS * 1000000ll)) return 0;
  s->tokens = tokens - ORDER_TOKENS * 1000000ll;
  s->tokens_ns = now_ns;
  u8 *slot = ring_reserve(ring);
  if (UNLIKELY(slot == NULL)) return 0;
  s->sequence++;
  u64 swapped = field_sum(s->sequence) + field_sum(s->last_processed) + field_sum(now_ns) + 2 * field_sum(o->id) +
                field_sum(o->instrument_id) + field_sum(o->price_e9) + field_sum(o->mantissa) +
                ((u8)o->side | (u64)(u8)o->time_in_force << 8);
  u16 checksum = fold(s->constant_sum + (u64)s->send_next + s->receive_next + (swapped << 8));
  u32 place = s->next++ & (SLOTS - 1);
  patch(s->frames[place], s->template_, s, o, checksum, now_ns);
  patch(slot, s->template_, s, o, checksum, now_ns);
  s->kept[place].sequence = s->send_next;
  s->send_next += MESSAGE;
  s->kept[place].end = s->send_next;
  s->kept[place].sent_ns = now_ns;
  if (s->resend_ns == INT64_MAX) s->resend_ns = now_ns + RESEND_NS;
  s->acknowledge_ns = INT64_MAX;
  s->last_sent_ns = now_ns;
  s->orders_sent++;
  ring_commit(ring, ORDER_FRAME);
  return 1;
}

/* What can be done when the order is on its way. */
INLINE void remember_order(session_t *s, const order_t *o) {
  s->remembered[s->sequence & (REMEMBERED - 1)] = (remembered_t){s->sequence, o->id, 100};
  s->named[o->id & (REMEMBERED - 1)] = (named_t){o->id, o->instrument_id, o->side, o->mantissa};
}

/* ---- Book: orders by id in an open-addressing table, FIFO levels in a window of ticks, best prices from bitmaps. */

enum { ORDER_BITS = 12, ORDERS = 1 << ORDER_BITS, WINDOW_BITS = 13, WINDOW = 1 << WINDOW_BITS };

typedef struct { i64 id, sort_id, lots; u32 rank; int32_t previous, next; int32_t side; } resting_t;
typedef struct { i64 lots; int32_t first, last; } level_t;

typedef struct {
  i64 bid_ticks, bid_lots, ask_ticks, ask_lots, receive_ns, valid;
  i64 ids[2 * ORDERS];
  int32_t places[2 * ORDERS]; /* + 1; 0: free */
  resting_t orders[ORDERS];
  int32_t free_order, count;
  u64 summary[2][WINDOW / 64 / 64];
  u64 occupied[2][WINDOW / 64];
  level_t levels[2][WINDOW];
} book_t;

INLINE u32 slot_of(i64 id) { return (u32)((u64)id * 0x9E3779B97F4A7C15ull >> (64 - ORDER_BITS - 1)); }

INLINE int find_order(const book_t *book, i64 id, u32 *slot) {
  u32 at = slot_of(id);
  while (book->places[at] != 0) {
    if (book->ids[at] == id) { *slot = at; return book->places[at] - 1; }
    at = (at + 1) & (2 * ORDERS - 1);
  }
  *slot = at;
  return -1;
}

static void remove_slot(book_t *book, u32 hole) {
  u32 mask = 2 * ORDERS - 1, at = (hole + 1) & mask;
  while (book->places[at] != 0) {
    u32 home = slot_of(book->ids[at]);
    if (((at - home) & mask) >= ((at - hole) & mask)) {
      book->ids[hole] = book->ids[at];
      book->places[hole] = book->places[at];
      hole = at;
    }
    at = (at + 1) & mask;
  }
  book->places[hole] = 0;
}

/* Rank 0 is the best price that the window holds: both sides look for their lowest rank. */
INLINE i64 rank_of(i64 base, int side, i64 ticks) { return side == BID ? base + WINDOW - 1 - ticks : ticks - base; }
INLINE i64 ticks_of(i64 base, int side, i64 rank) { return side == BID ? base + WINDOW - 1 - rank : rank + base; }

INLINE void mark(book_t *book, int side, u32 rank) {
  book->occupied[side][rank >> 6] |= 1ull << (rank & 63);
  book->summary[side][rank >> 12] |= 1ull << (rank >> 6 & 63);
}

INLINE void unmark(book_t *book, int side, u32 rank) {
  if ((book->occupied[side][rank >> 6] &= ~(1ull << (rank & 63))) == 0)
    book->summary[side][rank >> 12] &= ~(1ull << (rank >> 6 & 63));
}

INLINE i64 best_rank(const book_t *book, int side) {
  for (int part = 0; part < WINDOW / 4096; part++) {
    u64 summary = book->summary[side][part];
    if (summary != 0) {
      int word = part << 6 | __builtin_ctzll(summary);
      return (i64)word << 6 | __builtin_ctzll(book->occupied[side][word]);
    }
  }
  return -1;
}

INLINE void join_level(book_t *book, int place) {
  resting_t *order = &book->orders[place];
  level_t *level = &book->levels[order->side][order->rank];
  level->lots += order->lots;
  int32_t before = level->last, behind = -1;
  while (before >= 0 && book->orders[before].sort_id > order->sort_id) {
    behind = before;
    before = book->orders[before].previous;
  }
  order->previous = before;
  order->next = behind;
  if (before >= 0) book->orders[before].next = place; else level->first = place;
  if (behind >= 0) book->orders[behind].previous = place; else level->last = place;
  mark(book, order->side, order->rank);
}

INLINE void leave_level(book_t *book, const resting_t *order) {
  level_t *level = &book->levels[order->side][order->rank];
  level->lots -= order->lots;
  if (order->previous >= 0) book->orders[order->previous].next = order->next; else level->first = order->next;
  if (order->next >= 0) book->orders[order->next].previous = order->previous; else level->last = order->previous;
  if (level->first < 0) unmark(book, order->side, order->rank);
}

INLINE int put_order(book_t *book, i64 id, int side, i64 rank, i64 lots, i64 sort_id) {
  u32 slot;
  int place = find_order(book, id, &slot);
  if (place >= 0) {
    leave_level(book, &book->orders[place]);
  } else {
    place = book->free_order;
    if (place < 0) return 0;
    book->free_order = book->orders[place].next;
    book->ids[slot] = id;
    book->places[slot] = place + 1;
  }
  resting_t *order = &book->orders[place];
  order->id = id;
  order->sort_id = sort_id;
  order->lots = lots;
  order->rank = (u32)rank;
  order->side = side;
  join_level(book, place);
  return 1;
}

INLINE int reduce_order(book_t *book, i64 id, i64 lots) {
  u32 slot;
  int place = find_order(book, id, &slot);
  if (place < 0) return 0;
  resting_t *order = &book->orders[place];
  book->levels[order->side][order->rank].lots -= order->lots - lots;
  order->lots = lots;
  return 1;
}

INLINE int delete_order(book_t *book, i64 id) {
  u32 slot;
  int place = find_order(book, id, &slot);
  if (place < 0) return 0;
  leave_level(book, &book->orders[place]);
  book->orders[place].next = book->free_order;
  book->free_order = place;
  remove_slot(book, slot);
  return 1;
}

/* ---- The engine. */

typedef struct { /* what Python sets; of one instrument and its venue */
  i64 instrument_id, tick_e9, lot_e9, base_ticks;
  i64 sale_factor, cost_factor; /* value of a tick sold, cost of a tick bought with fee and threshold: one scale */
  i64 tick_lot_e9;              /* notional of one lot at one tick */
  i64 order_lots_max, notional_max_e9, position_lots_max, price_ticks_max, collar_e9, book_age_max_ns;
  i64 strategy_lots_max, strategy_position_lots;
  i64 tokens_per_second, tokens_full_e9, open_orders_max;
  i64 source_ip, source_port, channel_id, peer_port;
} terms_t;

typedef struct { i64 position, open_buy, open_sell, mark_ticks; } position_t;
typedef struct { i64 id, instrument, side, lots, filled, open; } open_t;

typedef struct {
  i64 halted, loss_tripped, last_id, gross_max_e9, net_max_e9;
  i64 tokens_e9[VENUES], tokens_ns[VENUES], open_orders[VENUES];
  i64 vetoes[18];
} gate_t;

typedef struct { i64 number, buy, sell, buy_ticks, sell_ticks, lots, start_ns, give_up_ns, open; } trade_t;

typedef struct {
  terms_t terms[INSTRUMENTS];
  i64 clock_cycles, clock_ns, clock_rate, now_ns; /* rate: ns a cycle, 26 bits fraction */
  i64 stamp_leg, orders, start_cycles, latency_cycles, marks[MARKS]; /* of the trigger */
  i64 feed_latency[64]; /* by the power of two of ns */
  trade_t trade;
  i64 next_sequence[VENUES], gaps, rejects, triggers, in_flight, counter, fills, unexplained;
  double tick_inverse[INSTRUMENTS];
  i64 lots_per_mantissa[INSTRUMENTS]; /* by division: 1e9 * 10 ** exponent over lot_e9 */
  position_t positions[INSTRUMENTS];
  gate_t gate;
  open_t open[64];
  ring_t rings[VENUES];
  session_t sessions[VENUES];
  book_t books[INSTRUMENTS];
} engine_t;

/* risk/gate.py's checks, in its order: kill switch, loss limit, price and size, id, order size, session, open orders,
   book proven, fresh and not crossed, collar, notional, position, gross and net exposure, rate. */
INLINE int judge(engine_t *e, i64 id, int index, int side, i64 price, i64 lots, i64 now_ns) {
  gate_t *gate = &e->gate;
  const terms_t *terms = &e->terms[index];
  const book_t *book = &e->books[index];
  if (gate->halted) return 1;
  if (gate->loss_tripped) return 2;
  if (price <= 0 || lots <= 0 || price > terms->price_ticks_max) return 4;
  if (id <= gate->last_id) return 5;
  if (lots > terms->order_lots_max) return 6;
  if (e->sessions[index].state != READY) return 3;
  if (gate->open_orders[index] >= terms->open_orders_max) return 11;
  if (!book->valid || book->bid_lots <= 0 || book->ask_lots <= 0) return 13;
  if (now_ns - book->receive_ns > terms->book_age_max_ns) return 14;
  if (book->bid_ticks >= book->ask_ticks) return 15;
  i64 best = side == BUY ? book->ask_ticks : book->bid_ticks;
  i64 reach = side == BUY ? price - best : best - price;
  if (reach > 0 && reach > (i64)((__int128)best * terms->collar_e9 / 1000000000)) return 16;
  if (terms->tick_lot_e9 * price * lots > terms->notional_max_e9) return 7;
  const position_t *held = &e->positions[index];
  i64 worst = side == BUY ? held->position + held->open_buy + lots : -held->position + held->open_sell + lots;
  if (worst > terms->position_lots_max) return 8;
  i64 gross = 0, net = 0;
  for (int each = 0; each < INSTRUMENTS; each++) {
    const position_t *other = &e->positions[each];
    i64 exposed = other->position + (side == BUY ? other->open_buy : -other->open_sell);
    i64 ticks = other->mark_ticks;
    if (each == index) {
      exposed += side == BUY ? lots : -lots;
      ticks = price > ticks ? price : ticks;
    }
    i64 value = e->terms[each].tick_lot_e9 * ticks * exposed;
    net += value;
    gross += value < 0 ? -value : value;
  }
  if (gross > gate->gross_max_e9 && worst > 0) return 9;
  if ((side == BUY ? net : -net) > gate->net_max_e9) return 10;
  i64 credit = gate->tokens_e9[index] + (now_ns - gate->tokens_ns[index]) * terms->tokens_per_second;
  credit = credit < terms->tokens_full_e9 ? credit : terms->tokens_full_e9;
  gate->tokens_e9[index] = credit;
  gate->tokens_ns[index] = now_ns;
  if (credit < 1000000000) return 12;
  gate->tokens_e9[index] = credit - 1000000000;
  return 0;
}

INLINE int send_leg(engine_t *e, int index, int side, i64 price, i64 lots, i64 now_ns) {
  i64 counter = ++e->counter, id = counter << 12 | (counter & 63);
  int veto = judge(e, id, index, side, price, lots, now_ns);
  e->gate.vetoes[veto]++;
  if (UNLIKELY(veto != 0)) return 0;
  e->gate.last_id = id;
  const terms_t *terms = &e->terms[index];
  order_t order = {id, terms->instrument_id, price * terms->tick_e9, lots * terms->lot_e9, side == BUY ? 1 : -1, -2};
  if (e->orders == 0) MARK(e, 4);
  if (UNLIKELY(!send_order(&e->sessions[index], &e->rings[index], &order, now_ns))) return 0;
  if (e->orders == 0) MARK(e, 5);
  if (++e->orders == e->stamp_leg) e->latency_cycles = cycles_at_end() - e->start_cycles;
  remember_order(&e->sessions[index], &order);
  open_t *open = &e->open[counter & 63];
  *open = (open_t){id, index, side, lots, 0, 1};
  e->gate.open_orders[index]++;
  if (side == BUY) e->positions[index].open_buy += lots; else e->positions[index].open_sell += lots;
  e->in_flight++;
  return 1;
}

INLINE i64 least(i64 left, i64 right) { return left < right ? left : right; }

/* Both directions of the only pair: sell at one's bid what is bought at the other's ask, if it clears after fees. */
static void look(engine_t *e, i64 now_ns) {
  for (int buy = 0; buy < INSTRUMENTS; buy++) {
    int sell = 1 - buy;
    const book_t *cheap = &e->books[buy], *dear = &e->books[sell];
    if (dear->bid_ticks * e->terms[sell].sale_factor < cheap->ask_ticks * e->terms[buy].cost_factor) continue;
    if (!cheap->valid || !dear->valid || cheap->ask_lots <= 0 || dear->bid_lots <= 0 || e->in_flight != 0) continue;
    if (now_ns - least(cheap->receive_ns, dear->receive_ns) > e->terms[buy].book_age_max_ns) continue;
    const position_t *long_ = &e->positions[buy], *short_ = &e->positions[sell];
    i64 lots = least(least(cheap->ask_lots, dear->bid_lots), e->terms[buy].strategy_lots_max);
    lots = least(lots, e->terms[buy].strategy_position_lots - long_->position - long_->open_buy);
    lots = least(lots, e->terms[sell].strategy_position_lots + short_->position - short_->open_sell);
    if (lots <= 0) continue;
    e->triggers++;
    e->trade = (trade_t){e->triggers, buy, sell, cheap->ask_ticks, dear->bid_ticks, lots, now_ns, now_ns + 1000000000, 2};
    i64 bid = dear->bid_ticks;
    MARK(e, 3);
    send_leg(e, buy, BUY, cheap->ask_ticks, lots, now_ns);
    send_leg(e, sell, SELL, bid, lots, now_ns);
  }
}

enum { BID_PUT = 20, ASK_PUT, BID_REDUCED, ASK_REDUCED, BID_DELETE, ASK_DELETE };

/* A transaction's messages; the signal is looked at when it has ended. */
INLINE int take_message(engine_t *e, int index, const u8 *at, int length, int kind) {
  static const u8 roots[] = {40, 40, 24, 24, 16, 16};
  const terms_t *terms = &e->terms[index];
  book_t *book = &e->books[index];
  if (UNLIKELY(length < 16 + roots[kind - BID_PUT])) return 0;
  const u8 *root = at + 16;
  if (UNLIKELY(get64(root + 8) != terms->instrument_id)) return 0;
  int side = kind & 1 ? ASK : BID;
  if (kind >= BID_DELETE) return delete_order(book, get64(root));
  i64 mantissa = get64(root + 16);
  i64 lots = mantissa * e->lots_per_mantissa[index];
  if (UNLIKELY(mantissa <= 0 || mantissa > 1ll << 40)) return 0;
  if (kind >= BID_REDUCED) return reduce_order(book, get64(root), lots);
  i64 price_e9 = get64(root + 24);
  i64 ticks = (i64)((double)price_e9 * e->tick_inverse[index] + 0.5);
  if (UNLIKELY(ticks * terms->tick_e9 != price_e9)) return 0;
  i64 rank = rank_of(terms->base_ticks, side, ticks);
  if (UNLIKELY((u64)rank >= WINDOW)) return 0;
  return put_order(book, get64(root), side, rank, lots, get64(root + 32));
}

INLINE void refresh_top(engine_t *e, int index, i64 now_ns) {
  book_t *book = &e->books[index];
  i64 base = e->terms[index].base_ticks, bid = best_rank(book, BID), ask = best_rank(book, ASK);
  book->bid_ticks = bid < 0 ? -(1ll << 40) : ticks_of(base, BID, bid);
  book->bid_lots = bid < 0 ? 0 : book->levels[BID][bid].lots;
  book->ask_ticks = ask < 0 ? 1ll << 40 : ticks_of(base, ASK, ask);
  book->ask_lots = ask < 0 ? 0 : book->levels[ASK][ask].lots;
  book->receive_ns = now_ns;
}

INLINE void take_market_data(engine_t *e, int index, const u8 *payload, int length, i64 now_ns) {
  book_t *book = &e->books[index];
  if (UNLIKELY(length < 24 || (int32_t)get32(payload + 16) != e->terms[index].channel_id)) { e->rejects++; return; }
  i64 sequence = get64(payload + 8);
  int count = get16(payload + 22);
  if (get16(payload + 20) != 1) return;
  if (UNLIKELY(sequence != e->next_sequence[index])) {
    if (sequence < e->next_sequence[index]) return;
    e->gaps++;
    book->valid = 0;
  }
  e->next_sequence[index] = sequence + count;
  const u8 *at = payload + 24, *end = payload + length;
  int changed = 0, flags = 0;
  for (; count > 0; count--) {
    if (UNLIKELY(end - at < 16)) { e->rejects++; book->valid = 0; return; }
    int size = get16(at), kind = get16(at + 2);
    flags = get16(at + 6);
    if (UNLIKELY(size < 16 || size > end - at)) { e->rejects++; book->valid = 0; return; }
    if (kind >= BID_PUT && kind <= ASK_DELETE) {
      if (UNLIKELY(!take_message(e, index, at, size, kind))) { e->rejects++; book->valid = 0; return; }
      changed = 1;
    }
    at += size;
  }
  if (changed) {
    refresh_top(e, index, now_ns);
    MARK(e, 1);
    MARK(e, 2);
    if (flags & 2) {
      i64 latency_ns = now_ns - get64(payload + 24 + 8);
      e->feed_latency[63 - __builtin_clzll((u64)(latency_ns > 0 ? latency_ns : 0) | 1)]++;
      look(e, now_ns);
    }
  }
}

/* Acknowledgements, and NewOrderResponse (one fill, whole): enough that positions and open orders stay right. */
static void take_segment(engine_t *e, int index, const u8 *frame, const u8 *payload, int length, i64 now_ns) {
  session_t *s = &e->sessions[index];
  u32 acknowledged = big32(frame + 42);
  if ((int32_t)(acknowledged - s->send_una) > 0 && (int32_t)(acknowledged - s->send_next) <= 0) {
    s->send_una = acknowledged;
    while (s->first != s->next && (int32_t)(acknowledged - s->kept[s->first & (SLOTS - 1)].end) >= 0) s->first++;
    s->resend_ns = s->first == s->next ? INT64_MAX : now_ns + RESEND_NS;
  }
  s->send_limit = acknowledged + big16(frame + 48);
  if (length == 0 || big32(frame + 38) != s->receive_next) return;
  s->receive_next += (u32)length;
  s->acknowledge_ns = now_ns + ACKNOWLEDGE_DELAY_NS;
  const u8 *at = payload, *end = payload + length;
  while (end - at >= 32) {
    int size = get16(at + 2), kind = get16(at + 4);
    s->last_processed = get64(at + 8);
    if (kind == 200 && size >= 32 + 94 + 4 + 25 && size <= end - at) {
      i64 id = get64(at + 32 + 16);
      open_t *open = &e->open[id & 63];
      if (open->open && open->id == id) {
        position_t *position = &e->positions[open->instrument];
        open->open = 0;
        e->gate.open_orders[open->instrument]--;
        e->in_flight--;
        e->fills++;
        if (open->side == BUY) position->open_buy -= open->lots, position->position += open->lots;
        else position->open_sell -= open->lots, position->position -= open->lots;
      } else {
        e->unexplained++;
      }
    }
    at += (size + 7) & ~7;
    if (size < 32) break;
  }
}

INLINE void take_frame(engine_t *e, int index, const u8 *frame, u32 length, i64 now_ns) {
  if (UNLIKELY(length < 42 || get16(frame + 12) != 0x0008 || frame[14] != 0x45)) return;
  u32 total = big16(frame + 16);
  if (UNLIKELY(total + 14 > length || (big16(frame + 20) & 0x3FFF) != 0)) return;
  if (frame[23] == 17) {
    u32 size = big16(frame + 38);
    if (UNLIKELY(size < 8 || size > total - 20)) return;
    MARK(e, 0);
    take_market_data(e, index, frame + 42, (int)size - 8, now_ns);
  } else if (frame[23] == 6 && total >= 40 && big16(frame + 34) == e->terms[index].peer_port) {
    int header = frame[46] >> 4 << 2;
    if (header >= 20 && header + 20 <= (int)total)
      take_segment(e, index, frame, frame + 34 + header, (int)total - 20 - header, now_ns);
  }
}

/* One turn of the loop: the clock, then each ring's next frame. */
int cw_turn(engine_t *e) {
  i64 now_ns = e->clock_ns + ((i64)(__rdtsc() - (u64)e->clock_cycles) * e->clock_rate >> 26);
  if (now_ns > e->now_ns) e->now_ns = now_ns; else now_ns = e->now_ns;
  int frames = 0;
  for (int index = 0; index < VENUES; index++) {
    u32 length;
    u8 *frame = ring_poll(&e->rings[index], &length);
    if (frame != NULL) {
      take_frame(e, index, frame, length, now_ns);
      ring_release(&e->rings[index]);
      frames++;
    }
  }
  for (int index = 0; index < VENUES; index++) ring_flush(&e->rings[index]);
  return frames;
}

/* A trigger's turn: `stamp_leg` says which order's descriptor ends the measurement. Cycles; 0: no such order went out. */
i64 cw_timed_turn(engine_t *e) {
  e->orders = 0;
  e->latency_cycles = 0;
  e->start_cycles = (i64)cycles_at_start();
  cw_turn(e);
  return e->latency_cycles;
}

/* One order of instrument 0, approved already: cycles from the call until its descriptor is visible; 0: not sent. */
__attribute__((noinline)) static i64 call_send(engine_t *e, const order_t *order, i64 now_ns, u64 start) {
  if (!send_order(&e->sessions[0], &e->rings[0], order, now_ns)) return 0;
  u64 end = start != 0 ? cycles_at_end() : 1;
  remember_order(&e->sessions[0], order);
  return (i64)(end - start);
}

i64 cw_timed_send(engine_t *e, i64 id, i64 price_ticks, i64 lots, i64 side, i64 now_ns) {
  u64 start = cycles_at_start();
  const terms_t *terms = &e->terms[0];
  order_t order = {id, terms->instrument_id, price_ticks * terms->tick_e9, lots * terms->lot_e9, side, -2};
  return call_send(e, &order, now_ns, start);
}

/* `count` orders in a row between two stamps: the cost without the stamps' drain; cycles of all. */
i64 cw_timed_burst(engine_t *e, i64 count, i64 id, i64 price_ticks, i64 lots, i64 side, i64 now_ns) {
  const terms_t *terms = &e->terms[0];
  u64 start = cycles_at_start();
  for (i64 number = 0; number < count; number++) {
    order_t order = {id + number, terms->instrument_id, price_ticks * terms->tick_e9, lots * terms->lot_e9, side, -2};
    if (!call_send(e, &order, now_ns, 0)) return 0;
  }
  return (i64)(cycles_at_end() - start);
}

/* ---- Set-up. */

engine_t *cw_make(void) {
  engine_t *e = aligned_alloc(64, (sizeof(engine_t) + 63) & ~(size_t)63);
  if (e == NULL) return NULL;
  memset(e, 0, sizeof *e);
  for (int index = 0; index < INSTRUMENTS; index++) {
    book_t *book = &e->books[index];
    for (int place = 0; place < ORDERS; place++) book->orders[place].next = place + 1 < ORDERS ? place + 1 : -1;
    for (int side = 0; side < 2; side++)
      for (int rank = 0; rank < WINDOW; rank++) book->levels[side][rank] = (level_t){0, -1, -1};
    book->valid = 1;
  }
  return e;
}

i64 *cw_marks(engine_t *e) { return e->marks; }
void cw_free(engine_t *e) { free(e); }
terms_t *cw_terms(engine_t *e, int index) { return &e->terms[index]; }

/* `addresses`: those of the ring, in the order of this list. */
void cw_set_ring(engine_t *e, int index, const u64 *addresses, i64 slots, i64 frame_bytes) {
  ring_t *ring = &e->rings[index];
  ring->umem = (u8 *)addresses[0];
  ring->receive_descriptors = (descriptor_t *)addresses[1];
  ring->receive_producer = (u32 *)addresses[2];
  ring->receive_consumer = (u32 *)addresses[3];
  ring->fill_addresses = (u64 *)addresses[4];
  ring->fill_producer = (u32 *)addresses[5];
  ring->transmit_descriptors = (descriptor_t *)addresses[6];
  ring->transmit_producer = (u32 *)addresses[7];
  ring->transmit_flags = (u32 *)addresses[8];
  ring->completion_addresses = (u64 *)addresses[9];
  ring->completion_producer = (u32 *)addresses[10];
  ring->completion_consumer = (u32 *)addresses[11];
  ring->free_frames = (u64 *)addresses[12];
  ring->free_count = (u32)slots;
  ring->mask = (u32)slots - 1;
  ring->frame_mask = (u32)frame_bytes - 1;
}

/* `frame`: a whole order as it is to be sent but for what `patch` writes. */
void cw_set_session(engine_t *e, int index, const u8 *frame, u32 send_next, u32 receive_next, i64 sequence,
                    i64 last_processed) {
  session_t *s = &e->sessions[index];
  memcpy(s->template_, frame, ORDER_FRAME);
  u8 *t = s->template_;
  memset(t + 38, 0, 8);
  memset(t + 50, 0, 2);
  memset(t + HEADERS + 8, 0, 24 + 40);
  memset(t + HEADERS + 90, 0, 2);
  /* Message fields start at an even offset of the segment, so words need no swap; the pseudo-header's are added. */
  s->constant_sum = (u32)(sum_big(t + 34, 20 + MESSAGE) + sum_big(t + 26, 8) + 6 + 20 + MESSAGE);
  s->send_una = s->send_next = send_next;
  s->receive_next = receive_next;
  s->send_limit = send_next + 65535;
  s->sequence = sequence;
  s->last_processed = last_processed;
  s->resend_ns = s->acknowledge_ns = INT64_MAX;
  s->tokens_per_ns = 1000;
  s->tokens = s->tokens_full = 1000000000ll * 1000000;
  s->state = READY;
}

/* After `terms` are set; quantities of market data are mantissas of 10 ** -9 times `mantissa_e9`. */
void cw_start(engine_t *e, i64 clock_cycles, i64 clock_ns, i64 clock_rate, i64 mantissa_e9, i64 gross_max_e9,
              i64 net_max_e9, i64 stamp_leg) {
  e->clock_cycles = clock_cycles;
  e->clock_ns = clock_ns;
  e->clock_rate = clock_rate;
  e->stamp_leg = stamp_leg;
  e->gate.gross_max_e9 = gross_max_e9;
  e->gate.net_max_e9 = net_max_e9;
  for (int index = 0; index < INSTRUMENTS; index++) {
    e->tick_inverse[index] = 1.0 / (double)e->terms[index].tick_e9;
    e->lots_per_mantissa[index] = mantissa_e9 / e->terms[index].lot_e9;
    e->next_sequence[index] = 1;
    e->gate.tokens_e9[index] = e->terms[index].tokens_full_e9;
    e->gate.tokens_ns[index] = clock_ns;
    e->sessions[index].tokens_ns = clock_ns;
  }
}

void cw_figures(engine_t *e, i64 *to) {
  i64 vetoed = 0;
  for (int veto = 1; veto < 18; veto++) vetoed += e->gate.vetoes[veto];
  i64 figures[] = {e->triggers, e->fills, e->unexplained, e->gaps, e->rejects, vetoed, e->positions[0].position,
                   e->positions[1].position, e->sessions[0].orders_sent, e->sessions[1].orders_sent};
  memcpy(to, figures, sizeof figures);
}

/* Cycles between the two stamps with nothing between them. */
void cw_stamp_costs(i64 count, i64 *costs) {
  for (i64 number = 0; number < count; number++) {
    u64 start = cycles_at_start();
    costs[number] = (i64)(cycles_at_end() - start);
  }
}
