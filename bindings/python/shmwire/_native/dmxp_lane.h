/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp in lane.h. The GIL is held: neither call waits, and each takes about as long as letting go of the GIL would.
 */
#ifndef SHMWPY_DMXP_LANE_H
#define SHMWPY_DMXP_LANE_H

#include "dmxp_calls.h"
#include "lane.h"

typedef struct {
    PyObject_HEAD
    shmw_dmxp_channel *channel;
    PyObject *keep;    /* what owns the channel */
    PyObject *message; /* the class shmwire.dmxp.Message */
} shmwpy_dmxp_lane;

static PyObject *shmwpy_name_payload;
static PyObject *shmwpy_name_heads;
static PyObject *shmwpy_name_at;
static PyObject *shmwpy_zero;

/* DmxpLane(address, keep, message_class) */
static PyObject *shmwpy_dmxp_lane_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *address;
    PyObject *keep;
    PyObject *message;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "O!OO!", &PyLong_Type, &address, &keep, &PyType_Type, &message))
        return NULL;
    void *channel = PyLong_AsVoidPtr(address);
    if (channel == NULL && PyErr_Occurred())
        return NULL;
    shmwpy_dmxp_lane *lane = (shmwpy_dmxp_lane *)type->tp_alloc(type, 0);
    if (lane == NULL)
        return NULL;
    lane->channel = (shmw_dmxp_channel *)channel;
    lane->keep = Py_NewRef(keep);
    lane->message = Py_NewRef(message);
    return (PyObject *)lane;
}

static void shmwpy_dmxp_lane_dealloc(PyObject *self)
{
    shmwpy_dmxp_lane *lane = (shmwpy_dmxp_lane *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(lane->keep);
    Py_XDECREF(lane->message);
    type->tp_free(self);
    Py_DECREF(type);
}

static int shmwpy_dmxp_take_meta(PyObject *const *args, struct shmw_dmxp_meta *meta)
{
    uint64_t type;
    uint64_t pid;
    uint64_t runtime;
    uint64_t flags;
    if (shmwpy_unsigned(args[0], UINT64_MAX, &meta->message_id) < 0 || shmwpy_unsigned(args[1], UINT64_MAX, &meta->timestamp_ns) < 0 ||
        shmwpy_unsigned(args[2], UINT32_MAX, &type) < 0 || shmwpy_unsigned(args[3], UINT32_MAX, &pid) < 0 ||
        shmwpy_unsigned(args[4], UINT16_MAX, &runtime) < 0 || shmwpy_unsigned(args[5], UINT16_MAX, &flags) < 0)
        return -1;
    meta->message_type = (uint32_t)type;
    meta->sender_pid = (uint32_t)pid;
    meta->sender_runtime = (uint16_t)runtime;
    meta->flags = (uint16_t)flags;
    return 0;
}

/* send(data: bytes[, message_id, timestamp_ns, message_type, sender_pid, sender_runtime, flags]): the position, None when the
 * channel is full, or a negative error of the registry, or -1000 - result. */
static PyObject *shmwpy_dmxp_lane_send(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    shmwpy_dmxp_lane *lane = (shmwpy_dmxp_lane *)self;
    struct shmw_dmxp_meta meta;
    if ((count != 1 && count != 7) || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "send(bytes[, six meta fields])");
        return NULL;
    }
    if (count == 7 && shmwpy_dmxp_take_meta(args + 1, &meta) < 0)
        return NULL;
    uint64_t position;
    const int rc = shmw_dmxp_try_send(lane->channel, PyBytes_AS_STRING(args[0]), (size_t)PyBytes_GET_SIZE(args[0]),
                                      count == 7 ? &meta : NULL, &position);
    if (rc == SHMW_OK)
        return PyLong_FromUnsignedLongLong(position);
    if (rc == SHMW_FULL)
        Py_RETURN_NONE;
    return shmwpy_answer(rc);
}

/* Message(payload, heads, 0), without the cost of a call. */
static PyObject *shmwpy_dmxp_lane_message(const shmwpy_dmxp_lane *lane, const char *payload, const struct shmw_dmxp_message *message)
{
    struct shmwpy_head head;
    shmwpy_put_head(&head, message);
    PyTypeObject *type = (PyTypeObject *)lane->message;
    PyObject *made = type->tp_alloc(type, 0);
    PyObject *bytes = PyBytes_FromStringAndSize(payload, (Py_ssize_t)message->length);
    PyObject *heads = PyBytes_FromStringAndSize((const char *)&head, (Py_ssize_t)sizeof(head));
    if (made != NULL && bytes != NULL && heads != NULL &&
        (PyObject_SetAttr(made, shmwpy_name_payload, bytes) < 0 || PyObject_SetAttr(made, shmwpy_name_heads, heads) < 0 ||
         PyObject_SetAttr(made, shmwpy_name_at, shmwpy_zero) < 0))
        Py_CLEAR(made);
    if (bytes == NULL || heads == NULL)
        Py_CLEAR(made);
    Py_XDECREF(bytes);
    Py_XDECREF(heads);
    return made;
}

/* receive(size: int): a Message, None when there is none, or a negative error of the registry, or -1000 - result. */
static PyObject *shmwpy_dmxp_lane_receive(PyObject *self, PyObject *size)
{
    const shmwpy_dmxp_lane *lane = (const shmwpy_dmxp_lane *)self;
    char payload[SHMW_DMXP_PAYLOAD_CAPACITY_CRATE];
    uint64_t room;
    if (shmwpy_unsigned(size, sizeof(payload), &room) < 0)
        return NULL;
    struct shmw_dmxp_message message;
    message.offset = 0;
    const int rc = shmw_dmxp_try_receive(lane->channel, payload, (size_t)room, &message);
    if (rc == SHMW_OK)
        return shmwpy_dmxp_lane_message(lane, payload, &message);
    if (rc == SHMW_EMPTY)
        Py_RETURN_NONE;
    return shmwpy_answer(rc);
}

static PyMethodDef shmwpy_dmxp_lane_methods[] = {
    {"send", (PyCFunction)(void (*)(void))shmwpy_dmxp_lane_send, METH_FASTCALL, NULL},
    {"receive", shmwpy_dmxp_lane_receive, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot shmwpy_dmxp_lane_slots[] = {
    {Py_tp_new, (void *)shmwpy_dmxp_lane_new},
    {Py_tp_dealloc, (void *)shmwpy_dmxp_lane_dealloc},
    {Py_tp_methods, shmwpy_dmxp_lane_methods},
    {0, NULL},
};

static PyType_Spec shmwpy_dmxp_lane_spec = {
    .name = "shmwire._native._ext_lane.DmxpLane",
    .basicsize = sizeof(shmwpy_dmxp_lane),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = shmwpy_dmxp_lane_slots,
};

/* The type, or NULL. */
static PyObject *shmwpy_dmxp_lane_type(void)
{
    shmwpy_name_payload = PyUnicode_InternFromString("payload");
    shmwpy_name_heads = PyUnicode_InternFromString("_heads");
    shmwpy_name_at = PyUnicode_InternFromString("_at");
    shmwpy_zero = PyLong_FromLong(0);
    if (shmwpy_name_payload == NULL || shmwpy_name_heads == NULL || shmwpy_name_at == NULL || shmwpy_zero == NULL)
        return NULL;
    return PyType_FromSpec(&shmwpy_dmxp_lane_spec);
}

#endif
