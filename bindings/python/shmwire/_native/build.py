# SPDX-License-Identifier: MIT
"""The two extension modules, described for cffi (API mode: the C compiler checks every declaration against the headers).

`_ext_atomic` holds the atomic primitives that the python engine needs to take part in a live segment, and the SIGBUS guard
of the driver; it contains nothing of the C implementation. `_ext_refc` holds the C implementation, compiled in from its
sources, and the thin calls of the native engine; the module `_ext_lane` lies in the same library (lane_module.h).
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
REF_C = HERE.parents[3] / "ref-c"
FLAGS = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"]

ATOMIC_CDEF = """
uint32_t shmwpy_load_u32(const char *base, size_t offset, int order);
uint64_t shmwpy_load_u64(const char *base, size_t offset, int order);
void shmwpy_store_u32(char *base, size_t offset, uint32_t value, int order);
void shmwpy_store_u64(char *base, size_t offset, uint64_t value, int order);
uint64_t shmwpy_cas_u64(char *base, size_t offset, uint64_t expected, uint64_t desired, int order);
uint32_t shmwpy_cas_u32(char *base, size_t offset, uint32_t expected, uint32_t desired, int order);
uint32_t shmwpy_swap_u32(char *base, size_t offset, uint32_t value);
uint32_t shmwpy_add_u32(char *base, size_t offset, uint32_t delta);
void shmwpy_fence(int order);
int shmwpy_futex_wait(const char *base, size_t offset, uint32_t value, uint64_t timeout_ns);
int shmwpy_futex_wake(const char *base, size_t offset, uint64_t count);
int shmwpy_guard_install(void);
int shmwpy_guard_hits(void);
"""

REF_C_CDEF = """
typedef struct shmw_dmxp_segment shmw_dmxp_segment;
typedef struct shmw_dmxp_channel shmw_dmxp_channel;
enum shmw_dmxp_payload_choice { SHMW_DMXP_CHOOSE_CRATE, SHMW_DMXP_CHOOSE_DOCUMENT, SHMW_DMXP_CHOOSE_AUTO };

struct shmw_dmxp_create_options { uint64_t size; uint32_t payload_layout; uint32_t mode; uint16_t sender_runtime; ...; };
struct shmw_dmxp_open_options { bool read_only; enum shmw_dmxp_payload_choice payload_choice; uint64_t ready_timeout_ns;
                                uint16_t sender_runtime; ...; };
struct shmw_dmxp_channel_options { uint64_t capacity; bool counted_waiters; ...; };
struct shmw_dmxp_meta { uint64_t message_id; uint64_t timestamp_ns; uint32_t message_type; uint32_t sender_pid;
                        uint16_t sender_runtime; uint16_t flags; ...; };
struct shmw_dmxp_message { ...; };
struct shmw_dmxp_claim { void *payload; size_t capacity; uint64_t position; ...; };
struct shmw_dmxp_channel_info { uint32_t channel_id; uint32_t flags; uint64_t capacity; uint64_t band_offset;
                                uint64_t retired_capacity; uint64_t removals; uint64_t head; uint64_t tail; uint32_t signal;
                                uint32_t waiters; ...; };
struct shmw_dmxp_segment_info { uint64_t size; uint32_t version; uint32_t max_channels; uint32_t channel_count;
                                uint32_t payload_layout; uint32_t payload_capacity; ...; };
struct shmw_dmxp_recovery { uint64_t tombstones; uint64_t possibly_lost; uint64_t waiters_reset; bool count_repaired; ...; };

const char *shmw_version(void);
int shmw_dmxp_create(const char *locator, const struct shmw_dmxp_create_options *options, shmw_dmxp_segment **out);
int shmw_dmxp_open(const char *locator, const struct shmw_dmxp_open_options *options, shmw_dmxp_segment **out);
void shmw_dmxp_close(shmw_dmxp_segment *segment);
int shmw_dmxp_info(const shmw_dmxp_segment *segment, struct shmw_dmxp_segment_info *info);
int shmw_dmxp_validate(const shmw_dmxp_segment *segment, const char **finding, uint32_t *channel);
int shmw_dmxp_channel_create(shmw_dmxp_segment *segment, uint32_t id, const struct shmw_dmxp_channel_options *options);
int shmw_dmxp_channel_remove(shmw_dmxp_segment *segment, uint32_t id);
int shmw_dmxp_channel_info(const shmw_dmxp_segment *segment, uint32_t id, struct shmw_dmxp_channel_info *info);
int shmw_dmxp_channel_list(const shmw_dmxp_segment *segment, uint32_t *ids, size_t max, size_t *count);
int shmw_dmxp_attach(shmw_dmxp_segment *segment, uint32_t id, shmw_dmxp_channel **out);
void shmw_dmxp_detach(shmw_dmxp_channel *channel);
int shmw_dmxp_claim(shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim);
int shmw_dmxp_commit(shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim, size_t length, const struct shmw_dmxp_meta *meta);
int shmw_dmxp_abandon(shmw_dmxp_channel *channel, struct shmw_dmxp_claim *claim);
typedef void (*shmw_dmxp_sleep_hook)(void *context);
void shmw_dmxp_set_sleep_hook(shmw_dmxp_channel *channel, shmw_dmxp_sleep_hook hook, void *context);
int shmw_dmxp_recover(shmw_dmxp_segment *segment, bool all_dead, struct shmw_dmxp_recovery *report);

struct shmwpy_head { uint32_t length; uint32_t offset; ...; };
uint64_t shmwpy_dmxp_send(shmw_dmxp_channel *channel, const void *data, size_t length, uint64_t timeout_ns, uint64_t message_id,
                          uint64_t timestamp_ns, uint32_t message_type, uint32_t sender_pid, uint16_t sender_runtime,
                          uint16_t flags);
uint64_t shmwpy_dmxp_send_batch(shmw_dmxp_channel *channel, const char *blob, const size_t *lengths, size_t each, size_t count,
                                const char *packed, size_t packed_size);
uint64_t shmwpy_dmxp_receive(shmw_dmxp_channel *channel, char *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns);
uint64_t shmwpy_dmxp_peek(shmw_dmxp_channel *channel, uint64_t *position, char *buffer, size_t size);
uint64_t shmwpy_dmxp_receive_batch(shmw_dmxp_channel *channel, struct shmwpy_head *heads, char *blob, size_t size,
                                   struct shmw_dmxp_message *messages, size_t max);
void shmwpy_dmxp_pass_on(shmw_dmxp_channel *channel);
extern "Python" void shmwpy_dmxp_on_sleep(void *context);
"""

OUROBOROS_CDEF = """
typedef struct shmw_ouroboros_writer shmw_ouroboros_writer;
typedef struct shmw_ouroboros_reader shmw_ouroboros_reader;
enum shmw_ouroboros_start { SHMW_OUROBOROS_AUTO, SHMW_OUROBOROS_LATEST, SHMW_OUROBOROS_OLDEST };

struct shmw_ouroboros_create_options { uint32_t chunk_count; uint64_t chunk_target_size; uint64_t size; uint32_t mode; ...; };
struct shmw_ouroboros_resume_options { uint64_t chunk_target_size; ...; };
struct shmw_ouroboros_open_options { enum shmw_ouroboros_start start; uint64_t ready_timeout_ns; ...; };
struct shmw_ouroboros_entry { uint64_t sequence; uint64_t skipped; uint64_t token; uint32_t chunk; uint32_t length; size_t offset;
                              const void *data; ...; };
struct shmw_ouroboros_writer_info { uint64_t size; uint64_t chunk_target_size; uint32_t chunk_count; uint64_t max_payload;
                                    uint64_t entries_written; ...; };
struct shmw_ouroboros_reader_info { uint64_t size; uint32_t chunk_count; uint64_t total_entries_read; uint64_t total_skipped;
                                    uint64_t next_sequence; ...; };

int shmw_ouroboros_create(const char *locator, const struct shmw_ouroboros_create_options *options, shmw_ouroboros_writer **out);
int shmw_ouroboros_resume(const char *locator, const struct shmw_ouroboros_resume_options *options, shmw_ouroboros_writer **out);
void shmw_ouroboros_close_writer(shmw_ouroboros_writer *writer);
int shmw_ouroboros_write(shmw_ouroboros_writer *writer, const void *data, size_t length, uint64_t *sequence);
int shmw_ouroboros_writer_info(const shmw_ouroboros_writer *writer, struct shmw_ouroboros_writer_info *info);
int shmw_ouroboros_open(const char *locator, const struct shmw_ouroboros_open_options *options, shmw_ouroboros_reader **out);
void shmw_ouroboros_close_reader(shmw_ouroboros_reader *reader);
int shmw_ouroboros_next(shmw_ouroboros_reader *reader, void *buffer, size_t size, struct shmw_ouroboros_entry *entry);
int shmw_ouroboros_next_batch(shmw_ouroboros_reader *reader, void *buffer, size_t size, struct shmw_ouroboros_entry *entries,
                              size_t max, size_t *count);
int shmw_ouroboros_next_view(shmw_ouroboros_reader *reader, struct shmw_ouroboros_entry *entry);
int shmw_ouroboros_seek(shmw_ouroboros_reader *reader, enum shmw_ouroboros_start start);
int shmw_ouroboros_reader_info(const shmw_ouroboros_reader *reader, struct shmw_ouroboros_reader_info *info);
int shmw_ouroboros_validate(const shmw_ouroboros_reader *reader, const char **finding, uint32_t *chunk);

int shmwpy_ouroboros_write_batch(shmw_ouroboros_writer *writer, const char *blob, const size_t *lengths, size_t each,
                                 size_t count, size_t *written);
int shmwpy_ouroboros_inspect_reader(const shmw_ouroboros_reader *reader, uint64_t *words);
int shmwpy_ouroboros_inspect_writer(const shmw_ouroboros_writer *writer, uint64_t *words);
int shmwpy_ouroboros_holds(const shmw_ouroboros_reader *reader, uint32_t chunk, uint64_t token);
int shmwpy_ouroboros_has_data(const shmw_ouroboros_reader *reader);
"""

SLICK_CDEF = """
typedef struct shmw_slick_queue shmw_slick_queue;
typedef struct shmw_slick_producer shmw_slick_producer;
typedef struct shmw_slick_reader shmw_slick_reader;
typedef struct shmw_slick_cursor shmw_slick_cursor;
enum shmw_slick_generation { SHMW_SLICK_1_2 = 12, SHMW_SLICK_1_3 = 13, SHMW_SLICK_1_4 = 14 };
enum shmw_slick_start { SHMW_SLICK_OLDEST, SHMW_SLICK_LATEST, SHMW_SLICK_INDEX };

struct shmw_slick_create_options { enum shmw_slick_generation generation; uint32_t size; uint32_t element_size; uint32_t mode;
                                   ...; };
struct shmw_slick_open_options { bool read_only; bool no_wait; uint64_t ready_timeout_ns; ...; };
struct shmw_slick_producer_options { uint64_t stall_ns; ...; };
struct shmw_slick_reader_options { enum shmw_slick_start start; uint64_t index; shmw_slick_cursor *shared; ...; };
struct shmw_slick_queue_info { enum shmw_slick_generation generation; uint32_t size; uint32_t element_size; uint64_t length;
                               uint64_t next_index; uint64_t settled; ...; };
struct shmw_slick_producer_info { uint64_t items_written; uint64_t given_up; ...; };
struct shmw_slick_reader_info { uint64_t cursor; uint64_t items_read; uint64_t lost; uint64_t resets; ...; };
struct shmw_slick_claim { uint64_t index; uint32_t elements; size_t capacity; void *data; ...; };
struct shmw_slick_item { uint64_t index; uint64_t lost; uint32_t elements; size_t length; size_t offset; const void *data; ...; };

int shmw_slick_create(const char *locator, const struct shmw_slick_create_options *options, shmw_slick_queue **out);
int shmw_slick_open(const char *locator, const struct shmw_slick_open_options *options, shmw_slick_queue **out);
void shmw_slick_close(shmw_slick_queue *queue);
int shmw_slick_info(const shmw_slick_queue *queue, struct shmw_slick_queue_info *info);
const char *shmw_slick_shm_name(const shmw_slick_queue *queue);
int shmw_slick_reset(shmw_slick_queue *queue);
int shmw_slick_recover(shmw_slick_queue *queue, bool all_dead, uint64_t *holes);
int shmw_slick_validate(const shmw_slick_queue *queue, const char **finding, uint32_t *slot);
int shmw_slick_producer_open(shmw_slick_queue *queue, const struct shmw_slick_producer_options *options,
                             shmw_slick_producer **out);
void shmw_slick_producer_close(shmw_slick_producer *producer);
int shmw_slick_reserve(shmw_slick_producer *producer, uint32_t elements, struct shmw_slick_claim *claim);
int shmw_slick_publish(shmw_slick_producer *producer, const struct shmw_slick_claim *claim);
int shmw_slick_abandon(shmw_slick_producer *producer, const struct shmw_slick_claim *claim);
int shmw_slick_write(shmw_slick_producer *producer, const void *data, size_t length, uint64_t *index);
int shmw_slick_write_batch(shmw_slick_producer *producer, const void *data, size_t length, size_t count, uint64_t *indices,
                           size_t *written);
int shmw_slick_producer_info(const shmw_slick_producer *producer, struct shmw_slick_producer_info *info);
int shmw_slick_cursor_at(void *memory, shmw_slick_cursor **out);
void shmw_slick_cursor_close(shmw_slick_cursor *cursor);
int shmw_slick_reader_open(const shmw_slick_queue *queue, const struct shmw_slick_reader_options *options,
                           shmw_slick_reader **out);
void shmw_slick_reader_close(shmw_slick_reader *reader);
int shmw_slick_next(shmw_slick_reader *reader, void *buffer, size_t size, struct shmw_slick_item *item);
int shmw_slick_wait_next(shmw_slick_reader *reader, void *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns,
                         struct shmw_slick_item *item);
int shmw_slick_next_batch(shmw_slick_reader *reader, void *buffer, size_t size, struct shmw_slick_item *items, size_t max,
                          size_t *count);
int shmw_slick_next_view(shmw_slick_reader *reader, struct shmw_slick_item *item);
int shmw_slick_last(shmw_slick_reader *reader, void *buffer, size_t size, struct shmw_slick_item *item);
int shmw_slick_seek(shmw_slick_reader *reader, enum shmw_slick_start start, uint64_t index);
int shmw_slick_reader_info(const shmw_slick_reader *reader, struct shmw_slick_reader_info *info);

int shmwpy_slick_holds(const shmw_slick_reader *reader, uint64_t index);
int shmwpy_slick_inspect(const shmw_slick_queue *queue, uint64_t *words);
"""

SHMCOMM_CDEF = """
typedef struct shmw_shmcomm shmw_shmcomm;
enum shmw_shmcomm_role { SHMW_SHMCOMM_PUBLISHER, SHMW_SHMCOMM_SUBSCRIBER, SHMW_SHMCOMM_PUSHER, SHMW_SHMCOMM_PULLER,
                         SHMW_SHMCOMM_REQUESTER, SHMW_SHMCOMM_REPLIER, SHMW_SHMCOMM_OBSERVER, ... };
enum shmw_shmcomm_making { SHMW_SHMCOMM_JOIN_OR_CREATE, SHMW_SHMCOMM_CREATE_ONLY, SHMW_SHMCOMM_JOIN_ONLY, ... };

struct shmw_shmcomm_identity { uint32_t endpoint; uint32_t pid; uint64_t instance; uint64_t boot_ns; uint64_t correlation_id;
                               ...; };
struct shmw_shmcomm_options { uint64_t capacity; uint32_t mode; uint16_t serializer; enum shmw_shmcomm_making making; bool oldest;
                              bool read_only; bool sole; bool tell_lost; bool no_wait; uint64_t ready_timeout_ns;
                              struct shmw_shmcomm_identity identity; ...; };
struct shmw_shmcomm_meta { uint64_t timestamp_ns; uint16_t content_type; uint16_t flags; ...; };
struct shmw_shmcomm_message { uint64_t sequence; uint64_t timestamp_ns; uint64_t correlation_id; uint64_t lost; uint64_t position;
                              uint64_t taken_ns; uint32_t sender; uint16_t content_type; uint16_t flags; size_t length;
                              size_t offset; const void *data; ...; };
struct shmw_shmcomm_claim { void *data; size_t length; ...; };
struct shmw_shmcomm_info { uint64_t capacity; uint64_t max_payload; uint64_t head; uint64_t tail; uint64_t message_count;
                           uint64_t dropped_count; uint64_t instance; uint64_t heartbeat_ns; uint32_t pattern; uint32_t state;
                           uint32_t writer_lock; uint32_t lock_epoch; uint32_t data_waiters; uint32_t space_waiters;
                           uint32_t owner_pid; uint32_t owner_endpoint; uint32_t serializer; uint32_t endpoint; bool keeper_lives;
                           uint64_t sent; uint64_t received; uint64_t lost; uint64_t refused; uint64_t discarded;
                           uint64_t unanswered; uint64_t takeovers; ...; };
struct shmw_shmcomm_recovered { bool lock_taken; bool count_repaired; uint32_t swept; ...; };

int shmw_shmcomm_open(enum shmw_shmcomm_role role, const char *name, const struct shmw_shmcomm_options *options,
                      shmw_shmcomm **out);
int shmw_shmcomm_info(const shmw_shmcomm *endpoint, struct shmw_shmcomm_info *info);
const char *shmw_shmcomm_segment(const shmw_shmcomm *endpoint);
int shmw_shmcomm_claim(shmw_shmcomm *endpoint, size_t length, const struct shmw_shmcomm_meta *meta, uint64_t timeout_ns,
                       struct shmw_shmcomm_claim *claim);
int shmw_shmcomm_commit(shmw_shmcomm *endpoint, uint64_t *sequence);
int shmw_shmcomm_abandon(shmw_shmcomm *endpoint);
int shmw_shmcomm_reply(shmw_shmcomm *replier, const struct shmw_shmcomm_message *request, const void *data, size_t length,
                       const struct shmw_shmcomm_meta *meta, uint64_t timeout_ns);
int shmw_shmcomm_receive(shmw_shmcomm *endpoint, void *buffer, size_t size, uint64_t timeout_ns, uint64_t spin_ns,
                         struct shmw_shmcomm_message *message);
int shmw_shmcomm_receive_batch(shmw_shmcomm *endpoint, void *buffer, size_t size, struct shmw_shmcomm_message *messages,
                               size_t max, uint64_t timeout_ns, uint64_t spin_ns, size_t *count);
int shmw_shmcomm_view(shmw_shmcomm *endpoint, uint64_t timeout_ns, uint64_t spin_ns, struct shmw_shmcomm_message *message);
int shmw_shmcomm_view_check(const shmw_shmcomm *endpoint, const struct shmw_shmcomm_message *message);
int shmw_shmcomm_seek(shmw_shmcomm *endpoint, bool oldest);
int shmw_shmcomm_validate(const shmw_shmcomm *observer, const char **finding, uint64_t *position);
int shmw_shmcomm_recover(const char *locator, struct shmw_shmcomm_recovered *report);
int shmw_shmcomm_remove(const char *locator, bool insist);

struct shmwpy_kept { ...; };
void shmwpy_shmcomm_close(shmw_shmcomm *endpoint, struct shmwpy_kept *kept);
void shmwpy_shmcomm_unmap(struct shmwpy_kept *kept);
struct shmwpy_kept *shmwpy_shmcomm_keep(void);
int shmwpy_shmcomm_receive_packed(shmw_shmcomm *endpoint, char *buffer, size_t size, struct shmw_shmcomm_message *messages,
                                  size_t max, uint64_t timeout_ns, uint64_t spin_ns, size_t *count, uint64_t *ends);
void shmwpy_shmcomm_go_on(shmw_shmcomm *endpoint);
size_t shmwpy_shmcomm_size(const shmw_shmcomm *endpoint);
void shmwpy_shmcomm_snapshot(const shmw_shmcomm *endpoint, char *out);
"""

DEEPWATER_CDEF = """
typedef struct shmw_deepwater_writer shmw_deepwater_writer;
typedef struct shmw_deepwater_reader shmw_deepwater_reader;
enum shmw_deepwater_start { SHMW_DEEPWATER_OLDEST, SHMW_DEEPWATER_LATEST, SHMW_DEEPWATER_TIME, SHMW_DEEPWATER_SEQUENCE };

struct shmw_deepwater_identity { uint32_t pid; uint64_t clock_ns; uint64_t boot_ns; ...; };
struct shmw_deepwater_feed_options { bool persist; uint64_t chunk_size; uint32_t live_window; uint32_t record_size;
                                     uint64_t rotate_ns; uint32_t rows; uint32_t feeds; uint32_t mode; bool create_only;
                                     bool open_only; struct shmw_deepwater_identity identity; ...; };
struct shmw_deepwater_record { uint64_t sequence; uint64_t timestamp_ns; uint64_t chunk_id; const void *data; uint32_t length;
                               uint32_t type; uint64_t lost; ...; };
struct shmw_deepwater_reader_options { enum shmw_deepwater_start start; uint64_t at; bool end_with_writer; bool read_only;
                                       uint64_t ready_timeout_ns; ...; };
struct shmw_deepwater_cursor { uint64_t chunk_id; uint64_t sequence; ...; };
struct shmw_deepwater_chunk { uint64_t chunk_id; uint64_t first_sequence; uint64_t record_count; uint64_t start_ns;
                              uint64_t end_ns; uint64_t data_bytes; uint64_t data_capacity; uint32_t state; uint32_t data_crc;
                              uint32_t index_crc; ...; };
struct shmw_deepwater_feed { char name[64]; char directory[96]; uint32_t feed_id; uint32_t flags; uint64_t chunk_size;
                             uint32_t live_window; uint32_t record_size; uint64_t created_ns; uint64_t rotate_ns; uint64_t chunks;
                             uint64_t latest; uint64_t last_sequence; uint64_t last_timestamp_ns; uint64_t heartbeat_ns;
                             uint32_t writer_pid; uint32_t waiters; bool writer_lives; ...; };
struct shmw_deepwater_recovered { uint64_t sealed; uint64_t persisted; uint64_t adopted; uint64_t expired; uint64_t removed;
                                  ...; };

int shmw_deepwater_writer_open(const char *base, const char *feed, const struct shmw_deepwater_feed_options *options,
                               shmw_deepwater_writer **out);
int shmw_deepwater_writer_close(shmw_deepwater_writer *writer);
int shmw_deepwater_append(shmw_deepwater_writer *writer, uint64_t timestamp_ns, uint32_t type, const void *data, uint32_t length,
                          uint64_t *sequence);
int shmw_deepwater_rotate(shmw_deepwater_writer *writer);
int shmw_deepwater_writer_feed(const shmw_deepwater_writer *writer, struct shmw_deepwater_feed *feed);
int shmw_deepwater_reader_open(const char *base, const char *feed, const struct shmw_deepwater_reader_options *options,
                               shmw_deepwater_reader **out);
void shmw_deepwater_reader_close(shmw_deepwater_reader *reader);
int shmw_deepwater_next(shmw_deepwater_reader *reader, struct shmw_deepwater_record *record);
int shmw_deepwater_wait_next(shmw_deepwater_reader *reader, uint64_t timeout_ns, uint64_t spin_ns,
                             struct shmw_deepwater_record *record);
int shmw_deepwater_next_batch(shmw_deepwater_reader *reader, struct shmw_deepwater_record *records, size_t max, size_t *count);
int shmw_deepwater_seek(shmw_deepwater_reader *reader, enum shmw_deepwater_start start, uint64_t at);
int shmw_deepwater_save(const shmw_deepwater_reader *reader, struct shmw_deepwater_cursor *cursor);
int shmw_deepwater_restore(shmw_deepwater_reader *reader, const struct shmw_deepwater_cursor *cursor);
int shmw_deepwater_latest_chunk(const shmw_deepwater_reader *reader, struct shmw_deepwater_chunk *chunk, char *data_name,
                                char *index_name);
int shmw_deepwater_has_data_since(const shmw_deepwater_reader *reader, uint64_t timestamp_ns, bool *has);
int shmw_deepwater_reader_feed(const shmw_deepwater_reader *reader, struct shmw_deepwater_feed *feed);
int shmw_deepwater_reader_chunk(const shmw_deepwater_reader *reader, uint64_t chunk_id, struct shmw_deepwater_chunk *chunk);
int shmw_deepwater_feed_at(const char *base, uint32_t index, struct shmw_deepwater_feed *feed);
int shmw_deepwater_retire(const char *base, const char *feed);
int shmw_deepwater_gc(const char *base, const char *feed, struct shmw_deepwater_recovered *report);
int shmw_deepwater_validate(const char *base, const char *feed, const char **finding, uint64_t *chunk_id);

int shmwpy_deepwater_append_packed(shmw_deepwater_writer *writer, const char *blob, const char *heads, size_t count,
                                   size_t *done);
"""


def atomic_builder() -> FFI:
    """The module without the C implementation."""
    builder = FFI()
    builder.cdef(ATOMIC_CDEF)
    builder.set_source("shmwire._native._ext_atomic", '#include "atomic.h"\n#include "guard.h"\n',
                       include_dirs=[str(HERE)], extra_compile_args=FLAGS)
    return builder


def refc_builder() -> FFI:
    """The module with the C implementation inside, whose sources setup.py adds.

    -Bsymbolic: the module uses its own copy, whatever else the process has loaded.
    """
    builder = FFI()
    builder.cdef(REF_C_CDEF)
    builder.cdef(DEEPWATER_CDEF)
    builder.cdef(OUROBOROS_CDEF)
    builder.cdef(SHMCOMM_CDEF)
    builder.cdef(SLICK_CDEF)
    builder.set_source("shmwire._native._ext_refc",
                       "".join(f'#include "{name}.h"\n' for name in (
                           "deepwater_calls", "dmxp_calls", "lane_module", "ouroboros_calls", "shmcomm_calls", "slick_calls")),
                       include_dirs=[str(HERE), str(REF_C / "include"), str(REF_C / "src")],
                       define_macros=[("_GNU_SOURCE", "1"), ("_CFFI_NO_LIMITED_API", "1")], py_limited_api=False,
                       extra_compile_args=FLAGS, extra_link_args=["-Wl,-Bsymbolic"], libraries=["z"])
    return builder


atomic = atomic_builder()
refc = refc_builder()
