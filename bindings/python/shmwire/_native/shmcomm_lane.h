/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm in lane.h.
 *
 * Of one endpoint there is one call at a time. A lane is the endpoint's lock too (enter and exit, around a threading.RLock), which
 * calls through cffi take. A call of the lane that nothing can make wait, and that copies little, goes without while nobody has
 * the lock: it holds the GIL from the look at the lock to its end, so nobody can take it meanwhile (an interpreter without one
 * gets it back when it loads a module that does not say otherwise, as this one). To take an RLock costs more than such a call.
 */
#ifndef SHMWPY_SHMCOMM_LANE_H
#define SHMWPY_SHMCOMM_LANE_H

#include <errno.h>
#include <stddef.h>
#include <structmember.h>

#include "lane.h"
#include "shmcomm_calls.h"

#define SHMWPY_SHMCOMM_ROOM 65536 /* bytes: longer payloads are received through cffi, and sent without the GIL */
#define SHMWPY_SHMCOMM_FIELDS 10  /* of shmwire.shmcomm.Message */

typedef struct {
    PyObject_HEAD
    shmw_shmcomm *endpoint;             /* NULL once it is closed */
    struct shmw_shmcomm_message *found; /* the owner's: the message received, and what was lost */
    PyObject *keep;                     /* what owns `found` */
    PyObject *message;                  /* the class shmwire.shmcomm.Message */
    PyObject *lock;                     /* a threading.RLock */
    int held;                           /* how often it is */
    int cause;                          /* errno of the last failure */
} shmwpy_shmcomm_lane;

static PyObject *shmwpy_name_acquire;
static PyObject *shmwpy_name_release;

/* ShmcommLane(endpoint_address, found_address, keep, message_class, lock) */
static PyObject *shmwpy_shmcomm_lane_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *endpoint;
    PyObject *found;
    PyObject *keep;
    PyObject *message;
    PyObject *lock;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "O!O!OO!O", &PyLong_Type, &endpoint, &PyLong_Type, &found, &keep, &PyType_Type, &message, &lock))
        return NULL;
    void *at = PyLong_AsVoidPtr(endpoint);
    void *room = PyLong_AsVoidPtr(found);
    if (PyErr_Occurred())
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)message, &PyTuple_Type) || room == NULL) {
        PyErr_SetString(PyExc_TypeError, "ShmcommLane(int, int but 0, object, class of tuples, lock)");
        return NULL;
    }
    shmwpy_shmcomm_lane *lane = (shmwpy_shmcomm_lane *)type->tp_alloc(type, 0);
    if (lane == NULL)
        return NULL;
    lane->endpoint = (shmw_shmcomm *)at;
    lane->found = (struct shmw_shmcomm_message *)room;
    lane->keep = Py_NewRef(keep);
    lane->message = Py_NewRef(message);
    lane->lock = Py_NewRef(lock);
    return (PyObject *)lane;
}

static void shmwpy_shmcomm_lane_dealloc(PyObject *self)
{
    shmwpy_shmcomm_lane *lane = (shmwpy_shmcomm_lane *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(lane->keep);
    Py_XDECREF(lane->message);
    Py_XDECREF(lane->lock);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The lock ------------------------------------------------------------------------------------------------------------ */

static int shmwpy_shmcomm_lane_lock(shmwpy_shmcomm_lane *lane)
{
    PyObject *done = PyObject_CallMethodNoArgs(lane->lock, shmwpy_name_acquire);
    Py_XDECREF(done);
    lane->held += done != NULL;
    return done != NULL ? 0 : -1;
}

static int shmwpy_shmcomm_lane_unlock(shmwpy_shmcomm_lane *lane)
{
    lane->held--;
    PyObject *done = PyObject_CallMethodNoArgs(lane->lock, shmwpy_name_release);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

/* The same while an exception is on its way. */
static void shmwpy_shmcomm_lane_unlock_after_failure(shmwpy_shmcomm_lane *lane)
{
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    PyErr_Fetch(&type, &value, &trace);
    if (shmwpy_shmcomm_lane_unlock(lane) < 0)
        PyErr_Clear();
    PyErr_Restore(type, value, trace);
}

static PyObject *shmwpy_shmcomm_lane_enter(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return shmwpy_shmcomm_lane_lock((shmwpy_shmcomm_lane *)self) == 0 ? Py_NewRef(self) : NULL;
}

static PyObject *shmwpy_shmcomm_lane_exit(PyObject *self, PyObject *const *why, Py_ssize_t count)
{
    (void)why;
    (void)count;
    return shmwpy_shmcomm_lane_unlock((shmwpy_shmcomm_lane *)self) == 0 ? Py_NewRef(Py_None) : NULL;
}

/* close(): later calls are those of a closed endpoint. With the lock held. */
static PyObject *shmwpy_shmcomm_lane_close(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    ((shmwpy_shmcomm_lane *)self)->endpoint = NULL;
    Py_RETURN_NONE;
}

/* Sending ------------------------------------------------------------------------------------------------------------ */

static int shmwpy_shmcomm_take_meta(PyObject *const *args, struct shmw_shmcomm_meta *meta)
{
    uint64_t content;
    uint64_t flags;
    if (shmwpy_unsigned(args[0], UINT64_MAX, &meta->timestamp_ns) < 0 || shmwpy_unsigned(args[1], UINT16_MAX, &content) < 0 ||
        shmwpy_unsigned(args[2], UINT16_MAX, &flags) < 0)
        return -1;
    meta->content_type = (uint16_t)content;
    meta->flags = (uint16_t)flags;
    return 0;
}

/* May it be sent at once? A sole publisher waits for nobody: neither for a lock, which a claim in another thread may hold until
 * that has the GIL, nor for room. */
static bool shmwpy_shmcomm_lane_is_clear(const shmwpy_shmcomm_lane *lane, size_t length)
{
    const shmw_shmcomm *endpoint = lane->endpoint;
    if (lane->held != 0 || length > SHMWPY_SHMCOMM_ROOM)
        return false;
    return endpoint == NULL || (endpoint->role == SHMW_SHMCOMM_PUBLISHER && endpoint->channel.sole);
}

/* What is to be sent, and what came of it. */
struct shmwpy_shmcomm_letters {
    const struct shmw_shmcomm_part *parts;
    size_t count;
    size_t bytes; /* of all together */
    const struct shmw_shmcomm_meta *meta;
    uint64_t limit;
    bool alone;        /* one message, by itself: count is 1 */
    uint64_t sequence; /* of one alone */
    size_t sent;       /* of several */
    int rc;
};

static void shmwpy_shmcomm_post(shmw_shmcomm *endpoint, struct shmwpy_shmcomm_letters *letters)
{
    const struct shmw_shmcomm_part *parts = letters->parts;
    letters->rc = letters->alone
                      ? shmw_shmcomm_send(endpoint, parts->data, parts->length, letters->meta, letters->limit, &letters->sequence)
                      : shmw_shmcomm_send_batch(endpoint, parts, letters->count, letters->meta, letters->limit, &letters->sent);
}

/* 0, or -1 with an exception. */
static int shmwpy_shmcomm_lane_post(shmwpy_shmcomm_lane *lane, struct shmwpy_shmcomm_letters *letters)
{
    if (shmwpy_shmcomm_lane_is_clear(lane, letters->bytes)) {
        shmwpy_shmcomm_post(lane->endpoint, letters);
        lane->cause = errno;
        return 0;
    }
    if (shmwpy_shmcomm_lane_lock(lane) < 0)
        return -1;
    Py_BEGIN_ALLOW_THREADS
    shmwpy_shmcomm_post(lane->endpoint, letters);
    Py_END_ALLOW_THREADS
    lane->cause = errno;
    return shmwpy_shmcomm_lane_unlock(lane);
}

/* send(data, timeout_ns[, timestamp_ns, content_type, flags]): the sequence, or what is no success (lane.h). */
static PyObject *shmwpy_shmcomm_lane_send(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    shmwpy_shmcomm_lane *lane = (shmwpy_shmcomm_lane *)self;
    struct shmw_shmcomm_meta meta = {0};
    uint64_t limit;
    if (count != 2 && count != 5) {
        PyErr_SetString(PyExc_TypeError, "send(data, timeout_ns[, three meta fields])");
        return NULL;
    }
    if (shmwpy_unsigned(args[1], UINT64_MAX, &limit) < 0 || (count == 5 && shmwpy_shmcomm_take_meta(args + 2, &meta) < 0))
        return NULL;
    Py_buffer data;
    if (PyObject_GetBuffer(args[0], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    const struct shmw_shmcomm_part part = {.data = data.buf, .length = (size_t)data.len};
    struct shmwpy_shmcomm_letters letters = {
        .parts = &part, .count = 1, .bytes = part.length, .alone = true, .meta = count == 5 ? &meta : NULL, .limit = limit};
    const int done = shmwpy_shmcomm_lane_post(lane, &letters);
    PyBuffer_Release(&data);
    if (done < 0)
        return NULL;
    return letters.rc == SHMW_OK ? PyLong_FromUnsignedLongLong(letters.sequence) : shmwpy_answer(letters.rc);
}

/* The parts of a blob from number `skip` on; lengths is an int, of each, or a sequence of ints. NULL with an exception. */
static struct shmw_shmcomm_part *shmwpy_shmcomm_parts(const Py_buffer *blob, PyObject *lengths, size_t skip, size_t *count)
{
    const bool alike = PyLong_Check(lengths);
    uint64_t each = 0;
    if (alike && shmwpy_unsigned(lengths, SIZE_MAX, &each) < 0)
        return NULL;
    PyObject *list = alike ? Py_NewRef(lengths) : PySequence_Fast(lengths, "lengths: an int or a sequence of ints");
    if (list == NULL)
        return NULL;
    const size_t all = !alike ? (size_t)PySequence_Fast_GET_SIZE(list) : each > 0 ? (size_t)blob->len / each : 0;
    struct shmw_shmcomm_part *parts = PyMem_Calloc(all > 0 ? all : 1, sizeof(*parts));
    size_t at = 0;
    for (size_t i = 0; parts != NULL && i < all; i++) {
        if ((!alike && shmwpy_unsigned(PySequence_Fast_GET_ITEM(list, (Py_ssize_t)i), SIZE_MAX, &each) < 0) ||
            each > (size_t)blob->len - at) {
            PyMem_Free(parts);
            parts = NULL;
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "lengths: more than there is");
            break;
        }
        if (i >= skip)
            parts[i - skip] = (struct shmw_shmcomm_part){.data = (const char *)blob->buf + at, .length = (size_t)each};
        at += (size_t)each;
    }
    Py_DECREF(list);
    *count = all > skip ? all - skip : 0;
    return parts != NULL || PyErr_Occurred() ? parts : (struct shmw_shmcomm_part *)PyErr_NoMemory();
}

/* send_packed(blob, lengths, skip, timeout_ns[, timestamp_ns, content_type, flags]): how many, and 0 or what is no success (lane.h). */
static PyObject *shmwpy_shmcomm_lane_send_packed(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    shmwpy_shmcomm_lane *lane = (shmwpy_shmcomm_lane *)self;
    struct shmw_shmcomm_meta meta = {0};
    uint64_t skip;
    uint64_t limit;
    if (count != 4 && count != 7) {
        PyErr_SetString(PyExc_TypeError, "send_packed(blob, lengths, skip, timeout_ns[, three meta fields])");
        return NULL;
    }
    if (shmwpy_unsigned(args[2], SIZE_MAX, &skip) < 0 || shmwpy_unsigned(args[3], UINT64_MAX, &limit) < 0 ||
        (count == 7 && shmwpy_shmcomm_take_meta(args + 4, &meta) < 0))
        return NULL;
    Py_buffer blob;
    if (PyObject_GetBuffer(args[0], &blob, PyBUF_SIMPLE) < 0)
        return NULL;
    struct shmwpy_shmcomm_letters letters = {.meta = count == 7 ? &meta : NULL, .limit = limit, .bytes = (size_t)blob.len};
    struct shmw_shmcomm_part *parts = shmwpy_shmcomm_parts(&blob, args[1], (size_t)skip, &letters.count);
    letters.parts = parts;
    const int done = parts != NULL ? shmwpy_shmcomm_lane_post(lane, &letters) : -1;
    PyMem_Free(parts);
    PyBuffer_Release(&blob);
    if (done < 0)
        return NULL;
    return Py_BuildValue("nl", (Py_ssize_t)letters.sent, letters.rc == SHMW_OK ? 0L : shmwpy_answer_code(letters.rc));
}

/* Receiving ---------------------------------------------------------------------------------------------------------- */

/* Message(…), without the cost of a call. */
static PyObject *shmwpy_shmcomm_lane_message(const shmwpy_shmcomm_lane *lane, const char *payload)
{
    const struct shmw_shmcomm_message *found = lane->found;
    PyObject *fields[SHMWPY_SHMCOMM_FIELDS] = { /* before the tuple: to make that may run other code, which receives too */
        [9] = PyBytes_FromStringAndSize(payload, (Py_ssize_t)found->length),
        [0] = PyLong_FromUnsignedLongLong(found->sequence),
        [1] = PyLong_FromUnsignedLongLong(found->timestamp_ns),
        [2] = PyLong_FromUnsignedLongLong(found->correlation_id),
        [3] = PyLong_FromUnsignedLongLong(found->lost),
        [4] = PyLong_FromUnsignedLongLong(found->position),
        [5] = PyLong_FromUnsignedLongLong(found->taken_ns),
        [6] = PyLong_FromUnsignedLong(found->sender),
        [7] = PyLong_FromUnsignedLong(found->content_type),
        [8] = PyLong_FromUnsignedLong(found->flags),
    };
    PyTypeObject *type = (PyTypeObject *)lane->message;
    PyObject *made = type->tp_alloc(type, SHMWPY_SHMCOMM_FIELDS);
    bool whole = made != NULL;
    for (unsigned i = 0; i < SHMWPY_SHMCOMM_FIELDS; i++)
        whole = whole && fields[i] != NULL;
    for (unsigned i = 0; i < SHMWPY_SHMCOMM_FIELDS; i++)
        if (whole)
            PyTuple_SET_ITEM(made, i, fields[i]);
        else
            Py_XDECREF(fields[i]);
    if (!whole)
        Py_CLEAR(made);
    return made;
}

/* Where received messages go. */
struct shmwpy_shmcomm_places {
    char *buffer;
    size_t size;
    struct shmw_shmcomm_message *messages; /* NULL: one message */
    size_t max;
    uint64_t *ends;
};

/* (the payloads together, where each ends) */
static PyObject *shmwpy_shmcomm_lane_batch(const struct shmwpy_shmcomm_places *places, size_t count)
{
    PyObject *blob = PyBytes_FromStringAndSize(places->buffer, (Py_ssize_t)places->ends[count - 1]);
    PyObject *ends = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; ends != NULL && i < count; i++) {
        PyObject *end = PyLong_FromUnsignedLongLong(places->ends[i]);
        if (end == NULL)
            Py_CLEAR(ends);
        else
            PyList_SET_ITEM(ends, (Py_ssize_t)i, end);
    }
    PyObject *both = blob != NULL && ends != NULL ? PyTuple_Pack(2, blob, ends) : NULL;
    Py_XDECREF(blob);
    Py_XDECREF(ends);
    return both;
}

static PyObject *shmwpy_shmcomm_lane_take(shmwpy_shmcomm_lane *lane, const struct shmwpy_shmcomm_places *places)
{
    struct shmw_shmcomm_message *first = places->messages != NULL ? places->messages : lane->found;
    size_t count = 0;
    first->lost = 0;
    const int rc = places->messages == NULL
                       ? shmw_shmcomm_receive(lane->endpoint, places->buffer, places->size, 0, 0, first)
                       : shmwpy_shmcomm_receive_packed(lane->endpoint, places->buffer, places->size, first, places->max, 0, 0,
                                                       &count, places->ends);
    lane->cause = errno;
    if (rc == SHMW_OK)
        return count > 0 ? shmwpy_shmcomm_lane_batch(places, count) : shmwpy_shmcomm_lane_message(lane, places->buffer + first->offset);
    if (rc == SHMW_LAPPED)
        lane->found->lost = first->lost;
    return rc == SHMW_EMPTY ? Py_NewRef(Py_None) : shmwpy_answer(rc);
}

/* The same when it may be. It waits for nothing but the lock. */
static PyObject *shmwpy_shmcomm_lane_take_in_turn(shmwpy_shmcomm_lane *lane, const struct shmwpy_shmcomm_places *places)
{
    if (lane->held == 0)
        return shmwpy_shmcomm_lane_take(lane, places);
    if (shmwpy_shmcomm_lane_lock(lane) < 0)
        return NULL;
    PyObject *answer = shmwpy_shmcomm_lane_take(lane, places);
    if (answer == NULL)
        shmwpy_shmcomm_lane_unlock_after_failure(lane);
    else if (shmwpy_shmcomm_lane_unlock(lane) < 0)
        Py_CLEAR(answer);
    return answer;
}

/* receive(): a Message, None when there is none, or what is no success (lane.h). */
static PyObject *shmwpy_shmcomm_lane_receive(PyObject *self, PyObject *nothing)
{
    static char room[SHMWPY_SHMCOMM_ROOM]; /* for one call at a time: that which has the GIL, until there are bytes of Python's */
    const struct shmwpy_shmcomm_places places = {.buffer = room, .size = sizeof(room)};
    (void)nothing;
    return shmwpy_shmcomm_lane_take_in_turn((shmwpy_shmcomm_lane *)self, &places);
}

/* receive_packed(max, size, buffer, messages, ends, keep): payloads and where each ends, None, or what is no success. Three are addresses,
 * of so many bytes, and of max structs and words; keep is what holds that memory: the caller may have to wait for the lock. */
static PyObject *shmwpy_shmcomm_lane_receive_packed(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    uint64_t max;
    uint64_t size;
    if (count != 6) {
        PyErr_SetString(PyExc_TypeError, "receive_packed(max, size, buffer, messages, ends, keep)");
        return NULL;
    }
    if (shmwpy_unsigned(args[0], SIZE_MAX, &max) < 0 || shmwpy_unsigned(args[1], SIZE_MAX, &size) < 0)
        return NULL;
    const struct shmwpy_shmcomm_places places = {
        .buffer = PyLong_AsVoidPtr(args[2]), .size = (size_t)size, .messages = PyLong_AsVoidPtr(args[3]), .max = (size_t)max,
        .ends = PyLong_AsVoidPtr(args[4])};
    if (PyErr_Occurred())
        return NULL;
    return shmwpy_shmcomm_lane_take_in_turn((shmwpy_shmcomm_lane *)self, &places);
}

/* The type ----------------------------------------------------------------------------------------------------------- */

static PyMethodDef shmwpy_shmcomm_lane_methods[] = {
    {"send", (PyCFunction)(void (*)(void))shmwpy_shmcomm_lane_send, METH_FASTCALL, NULL},
    {"receive", shmwpy_shmcomm_lane_receive, METH_NOARGS, NULL},
    {"send_packed", (PyCFunction)(void (*)(void))shmwpy_shmcomm_lane_send_packed, METH_FASTCALL, NULL},
    {"receive_packed", (PyCFunction)(void (*)(void))shmwpy_shmcomm_lane_receive_packed, METH_FASTCALL, NULL},
    {"close", shmwpy_shmcomm_lane_close, METH_NOARGS, NULL},
    {"__enter__", shmwpy_shmcomm_lane_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))shmwpy_shmcomm_lane_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef shmwpy_shmcomm_lane_members[] = {
    {"cause", T_INT, offsetof(shmwpy_shmcomm_lane, cause), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot shmwpy_shmcomm_lane_slots[] = {
    {Py_tp_new, (void *)shmwpy_shmcomm_lane_new},
    {Py_tp_dealloc, (void *)shmwpy_shmcomm_lane_dealloc},
    {Py_tp_methods, shmwpy_shmcomm_lane_methods},
    {Py_tp_members, shmwpy_shmcomm_lane_members},
    {0, NULL},
};

static PyType_Spec shmwpy_shmcomm_lane_spec = {
    .name = "shmwire._native._ext_lane.ShmcommLane",
    .basicsize = sizeof(shmwpy_shmcomm_lane),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = shmwpy_shmcomm_lane_slots,
};

/* The type, or NULL. */
static PyObject *shmwpy_shmcomm_lane_type(void)
{
    shmwpy_name_acquire = PyUnicode_InternFromString("acquire");
    shmwpy_name_release = PyUnicode_InternFromString("release");
    if (shmwpy_name_acquire == NULL || shmwpy_name_release == NULL)
        return NULL;
    return PyType_FromSpec(&shmwpy_shmcomm_lane_spec);
}

#endif
