// SPDX-License-Identifier: MIT

package main

import (
	"encoding/hex"
	"fmt"

	"shmwire/shmcomm"
)

// What is told of a channel.

const inspectedBytes = 64 // of a payload

func (s *shmcommSession) inspect() (map[string]string, error) {
	h, messages, err := s.end.Look()
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for name, value := range map[string]uint64{
		"magic": h.Magic, "version": h.Version, "head": h.Head, "tail": h.Tail, "writer_lock": uint64(h.WriterLock),
		"lock_epoch": uint64(h.LockEpoch), "message_count": h.MessageCount, "dropped_count": h.DroppedCount,
		"capacity": h.Capacity, "pattern": uint64(h.Pattern), "state": uint64(h.State), "data_signal": uint64(h.DataSignal),
		"data_waiters": uint64(h.DataWaiters), "space_signal": uint64(h.SpaceSignal), "space_waiters": uint64(h.SpaceWaiters),
		"owner_pid": uint64(h.OwnerPID), "serializer": uint64(h.Serializer), "heartbeat_ns": h.HeartbeatNS,
		"instance": h.Instance, "owner_endpoint": uint64(h.OwnerEndpoint),
	} {
		fields["header."+name] = decimal(value)
	}
	for i := range messages {
		inspectFrame(fields, &messages[i])
	}
	return fields, nil
}

func inspectFrame(fields map[string]string, m *shmcomm.Message) {
	prefix := fmt.Sprintf("frame[%d].", m.Sequence)
	for name, value := range map[string]uint64{
		"size": uint64(len(m.Payload)) + shmcomm.FrameOverhead - 8, "sequence": m.Sequence, "timestamp_ns": m.TimestampNS,
		"correlation_id": m.CorrelationID, "sender": uint64(m.Sender), "content_type": uint64(m.ContentType),
		"flags": uint64(m.Flags), "position": m.Position,
	} {
		fields[prefix+name] = decimal(value)
	}
	shown := m.Payload
	if len(shown) > inspectedBytes {
		shown = shown[:inspectedBytes]
	}
	fields[prefix+"payload"] = hex.EncodeToString(shown)
}

func (s *shmcommSession) infoReply() (object, error) {
	i, err := s.end.Info()
	if err != nil {
		return nil, err
	}
	reply := object{
		"pattern": i.Pattern, "state": i.State, "writer_lock": i.WriterLock, "lock_epoch": i.LockEpoch,
		"data_waiters": i.DataWaiters, "space_waiters": i.SpaceWaiters, "owner_pid": i.OwnerPID,
		"owner_endpoint": i.OwnerEndpoint, "serializer": i.Serializer, "endpoint": i.Endpoint, "keeper_lives": i.KeeperLives,
		"segment": s.end.SegmentName(),
	}
	for name, value := range map[string]uint64{
		"capacity": i.Capacity, "max_payload": i.MaxPayload, "head": i.Head, "tail": i.Tail, "message_count": i.MessageCount,
		"dropped_count": i.DroppedCount, "instance": i.Instance, "heartbeat_ns": i.HeartbeatNS, "sent": i.Sent,
		"received": i.Received, "lost": i.Lost, "refused": i.Refused, "discarded": i.Discarded, "unanswered": i.Unanswered,
		"takeovers": i.Takeovers,
	} {
		reply[name] = decimal(value)
	}
	return reply, nil
}
