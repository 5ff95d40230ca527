/* SPDX-License-Identifier: MIT
 *
 * What the files of this profile share: segment.c (handles and verbs), inspect.c, writer.c, reader.c and live.c. */
#ifndef SHMW_DRIVER_DEEPWATER_H
#define SHMW_DRIVER_DEEPWATER_H

#include "../profile.h"
#include "../reading.h"
#include "shmwire/deepwater.h"

/* A handle: the writer or a reader of a feed. */
struct deepwater {
    shmw_deepwater_writer *writer; /* one of the two is NULL */
    shmw_deepwater_reader *reader;
    char *base;
    char *feed;
    struct pending pending;
    bool expired; /* an answer EXPIRED that came behind items; the next read gives it */
    uint64_t expired_lost;
    struct deepwater_port *port; /* of a live actor; NULL otherwise */
};

/* segment.c: the name of the feed that options or args name. */
int deepwater_feed_name(struct request *rq, const cJSON *object, const char **feed);
int deepwater_take_start(struct request *rq, const cJSON *object, const char *word_key, enum shmw_deepwater_start *start,
                         uint64_t *at);
int deepwater_open_writer(struct request *rq, const char *seg, const cJSON *options, bool create, void **segment);
int deepwater_open_reader(struct request *rq, const char *seg, uint64_t timeout_ns, const cJSON *options, void **segment);

/* inspect.c */
int deepwater_inspect(struct request *rq, void *segment, cJSON *fields);

/* writer.c */
int deepwater_write(struct request *rq, void *segment);

/* reader.c */
void deepwater_put_record(struct request *rq, cJSON *items, const struct shmw_deepwater_record *record);
int deepwater_read(struct request *rq, void *segment);
int deepwater_seek(struct request *rq, void *segment);
int deepwater_range(struct request *rq, struct deepwater *handle, const cJSON *args);

/* live.c */
void deepwater_port_free(struct deepwater_port *port);
int deepwater_live_open(struct request *rq, const char *seg, bool writer, const cJSON *plan, void **segment);
int deepwater_live_attach(struct request *rq, void *segment, const cJSON *plan, void **port);
int deepwater_live_send(void *port, const struct live_message *messages, size_t count, uint64_t timeout_ns);
int deepwater_live_receive(void *port, struct live_message *messages, size_t max, uint64_t timeout_ns, size_t *count);
size_t deepwater_live_batch_limit(void *port);
size_t deepwater_live_payload_limit(void *port);
uint64_t deepwater_live_sent(struct request *rq, void *port);

#endif
