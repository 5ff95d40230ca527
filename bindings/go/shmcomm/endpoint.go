// SPDX-License-Identifier: MIT

package shmcomm

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"shmwire"
	"shmwire/internal/shm"
)

// endpoint is a segment with a number in it, and the locks that say that its holder lives (section 4).
type endpoint struct {
	*segment
	members   *shm.File // the description of the membership lock, taken while joining and leaving
	number    uint32
	keeper    bool
	holding   bool // the writers' lock
	bootNS    uint64
	beat      uint64 // time of the last message that went with a heartbeat, as messages tell it
	takeovers uint64 // locks taken from dead owners
}

// door is a way into a channel: what is asked of it, and what is done when it is not there.
type door struct {
	name       string // as other programs may be told it
	path       string
	pattern    uint32 // 0: any
	keeper     bool
	making     Making // JoinOnly but for keepers
	capacity   uint64
	mode       uint32
	serializer uint16
	patience   time.Duration
	number     uint32 // to use, ErrBusy if it is taken; 0: draw one
	preferred  uint32 // to try before one is drawn
	pid        uint32
	instance   uint64
	bootNS     uint64
}

func (o *Options) door(locator string, pattern uint32, capacity uint64) (*door, error) {
	path, err := shmwire.Path(locator)
	if err != nil {
		return nil, err
	}
	name, _, err := shmwire.FullName(locator)
	if err != nil {
		return nil, err
	}
	if o.Capacity != 0 {
		capacity = o.Capacity
	}
	return &door{
		name: name, path: path, pattern: pattern, making: JoinOnly, capacity: capacity, mode: o.Mode, serializer: o.Serializer,
		patience: o.ReadyTimeout, number: o.Identity.Endpoint, pid: o.Identity.PID, instance: o.Identity.Instance,
		bootNS: o.Identity.BootNS,
	}, nil
}

// errAgain says inside of this package: the name leads elsewhere by now, start over.
var errAgain = errors.New("shmcomm: start over")

// join is section 4: it joins the channel, or makes it.
func (d *door) join() (*endpoint, error) {
	deadline := time.Now().Add(d.patience)
	for {
		late := !time.Now().Before(deadline)
		e, err := d.attempt(late)
		switch {
		case err == errAgain:
		case err == nil, late, isReady(err) && shmwire.CodeOf(err) != shmwire.ErrNotFound:
			return e, err
		default:
			time.Sleep(readyPoll)
		}
	}
}

// attempt is one way through steps 1 to 6. errAgain, and ErrNotFound, ErrNotReady and ErrTruncated, which may pass.
func (d *door) attempt(late bool) (*endpoint, error) {
	members, made, err := d.openOrCreate()
	if err != nil {
		return nil, err
	}
	if err := members.Lock(); err != nil { // the membership lock
		members.Close()
		return nil, err
	}
	e, err := d.enter(members, made, late)
	if err != nil {
		members.Close() // and with it the lock
		return nil, err
	}
	members.Unlock()
	e.name = d.name
	return e, nil
}

// openOrCreate is step 1, and whether the file is new.
func (d *door) openOrCreate() (file *shm.File, made bool, err error) {
	if d.making != CreateOnly {
		file, err = shm.OpenFile(d.path, false)
		if err == nil || d.making == JoinOnly || shmwire.CodeOf(err) != shmwire.ErrNotFound {
			return file, false, err
		}
	}
	file, err = shm.CreateFile(d.path, d.mode)
	if d.making == JoinOrCreate && shmwire.CodeOf(err) == shmwire.ErrExists {
		return nil, false, errAgain
	}
	return file, true, err
}

// enter is steps 2 to 5; the caller holds the membership lock.
func (d *door) enter(members *shm.File, made, late bool) (*endpoint, error) {
	state, err := members.State()
	if err != nil {
		return nil, err
	}
	if !state.Named {
		return nil, errAgain // removed meanwhile
	}
	file, err := shm.OpenFile(d.path, false)
	if shmwire.CodeOf(err) == shmwire.ErrNotFound {
		return nil, errAgain
	}
	if err != nil {
		return nil, err
	}
	e := &endpoint{members: members, keeper: d.keeper, bootNS: d.bootNS}
	found, err := file.State()
	switch {
	case err != nil:
	case found.Identity != state.Identity:
		err = errAgain
	case made:
		err = e.create(file, d)
	default:
		err = e.attend(file, d, late)
	}
	if err != nil {
		if made && err != errAgain {
			unix.Unlink(d.path) // nothing is left behind
		}
		file.Close()
		return nil, err
	}
	return e, nil
}

// attend is steps 3 to 5 for a file that was there.
func (e *endpoint) attend(file *shm.File, d *door, late bool) error {
	s, err := mapSegment(file, d.path, false)
	if err != nil {
		if late && d.making == JoinOrCreate && unfinished(file, err) { // [shmcomm.join.unfinished]
			unix.Unlink(d.path)
			return errAgain
		}
		return err // [shmcomm.join.foreign]
	}
	e.segment = s
	if d.pattern != 0 && s.pattern != d.pattern {
		err = wrongPattern(s.pattern, d.pattern)
	}
	if err == nil {
		err = e.takeNumber(d)
	}
	if err == nil && e.keeper {
		err = e.takeOver(d)
	}
	if err != nil {
		s.unmap()
	}
	return err
}

// unfinished says whether a file was never a channel: shorter than a header, or of magic 0.
func unfinished(file *shm.File, err error) bool {
	if shmwire.CodeOf(err) == shmwire.ErrNotReady {
		return true
	}
	state, stateErr := file.State()
	return stateErr == nil && state.Size < headerSize
}

// takeOver is step 5 of joining: a keeper that finds the channel closed, or no other living keeper, makes it its own
// [shmcomm.join.takeover] [shmcomm.join.owner].
func (e *endpoint) takeOver(d *door) error {
	lives, err := e.keeperLives()
	if err != nil {
		return err
	}
	e.heartbeat.StoreRelaxed(bootTime(d.bootNS)) // [shmcomm.join.heartbeat]
	if e.state.Load() == StateClosed || !lives { // A7: pairs with R7
		e.ownerPID.StoreRelaxed(d.processID())
		e.ownerEndpoint.StoreRelaxed(e.number)
		e.state.StoreRelease(StateOpen) // R7: pairs with A7
	}
	return nil
}

// create fills a new file and publishes it [shmcomm.segment.init]. Its bytes are taken before the first store.
func (e *endpoint) create(file *shm.File, d *door) error {
	state, err := file.State()
	if err != nil {
		return err
	}
	if err := file.Resize(ringOffset + d.capacity); err != nil {
		return err
	}
	mapping, err := file.Map(ringOffset+d.capacity, false)
	if err != nil {
		return err
	}
	mapping.PrefaultAll()
	g := geometry{d.capacity, d.instance, d.pattern, d.serializer}
	for g.instance == 0 {
		g.instance = random64()
	}
	e.segment = newSegment(file, d.path, state.Identity, mapping, g)
	if err := e.takeNumber(d); err != nil {
		e.unmap()
		return err
	}
	w := mapping.Window
	w.PutU64(headerVersionOffset, version)
	w.PutU64(headerCapacityOffset, g.capacity)
	w.PutU32(headerPatternOffset, g.pattern)
	w.PutU32(headerSerializerOffset, uint32(g.serializer))
	w.PutU64(headerInstanceOffset, g.instance)
	e.ownerPID.StoreRelaxed(d.processID())
	e.ownerEndpoint.StoreRelaxed(e.number)
	e.heartbeat.StoreRelaxed(bootTime(d.bootNS))
	e.state.StoreRelease(StateOpen)                   // R7: pairs with A7
	w.Atomic64(headerMagicOffset).StoreRelease(magic) // R0: pairs with A0; the header before its magic
	return nil
}

func (d *door) processID() uint32 {
	if d.pid != 0 {
		return d.pid
	}
	return uint32(os.Getpid())
}

// bootTime is CLOCK_BOOTTIME, or what stands for it in tests.
func bootTime(injected uint64) uint64 {
	var now unix.Timespec
	if injected != 0 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return injected
	}
	return uint64(now.Nano())
}

func random64() uint64 {
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		panic("shmcomm: the system has no random numbers: " + err.Error())
	}
	return binary.LittleEndian.Uint64(raw[:])
}

const numberTries = 1 << 12

// takeNumber is step 4 of joining [shmcomm.endpoint.number].
func (e *endpoint) takeNumber(d *door) error {
	if d.number != 0 {
		taken, err := e.hold(d.number)
		if err == nil && !taken {
			err = shmwire.Errorf(shmwire.ErrBusy, "endpoint number %d is taken", d.number)
		}
		return err
	}
	number := d.preferred
	for try := 0; try < numberTries; try++ {
		if number != 0 {
			if taken, err := e.hold(number); taken || err != nil {
				return err
			}
		}
		number = uint32(random64()) & MaxEndpoint
	}
	return shmwire.Errorf(shmwire.ErrBusy, "no endpoint number is free")
}

// hold takes the bytes of a number [shmcomm.endpoint.lock]; false when another one has it. The number of a dead owner of
// the writers' lock is not free: the lock would look held.
func (e *endpoint) hold(number uint32) (bool, error) {
	taken, err := e.file.LockByte(uint64(number))
	if !taken || err != nil {
		return false, err
	}
	if e.keeper {
		taken, err = e.file.LockByte(keeperBase + uint64(number))
		if !taken || err != nil {
			e.file.UnlockByte(uint64(number))
			return false, err
		}
	}
	if e.lock.Load()&^lockWaiters == number { // after the byte: an owner may die between a look and a taking
		e.giveBack(number)
		return false, nil
	}
	e.number = number
	return true, nil
}

// giveBack gives the bytes of a number back.
func (e *endpoint) giveBack(number uint32) {
	if e.keeper {
		e.file.UnlockByte(keeperBase + uint64(number))
	}
	e.file.UnlockByte(uint64(number))
}

// leave is section 4 for an endpoint that is open; puller says that it takes messages.
func (e *endpoint) leave(puller bool) {
	if e.holding {
		e.free()
	}
	if e.members.Lock() == nil {
		lives, err := e.keeperLives() // other than us
		switch {
		case err != nil || lives: // [shmcomm.leave.others]
		case e.keeper:
			e.shut()
		case puller:
			e.unlinkDrained()
		}
		e.giveBack(e.number) // after the last store, and before the next one to leave asks
		e.members.Unlock()
	}
	e.unmap()
	e.file.Close()
	e.members.Close()
}

// shut closes a channel without a living keeper, and removes its name [shmcomm.leave.last]. The caller holds the
// membership lock.
func (s *segment) shut() {
	s.announceClosed()
	if s.pattern != PatternPipeline || s.head.Load() == s.tail.Load() { // A2, A3: pair with R2, R3
		s.unlink()
	}
}

// announceClosed sets the state and wakes all who sleep.
func (s *segment) announceClosed() {
	s.state.StoreRelease(StateClosed) // R7: pairs with A7; all that was published before the close
	s.dataSignal.Add(1)               // R4: pairs with A4
	s.spaceSignal.Add(1)              // R4: pairs with A4
	shm.Wake(s.dataSignal, everySleeper)
	shm.Wake(s.spaceSignal, everySleeper)
}

// unlink removes the name, if it still is that of this segment.
func (s *segment) unlink() {
	if s.identity.Names(s.path) {
		unix.Unlink(s.path)
	}
}

// unlinkDrained removes the name of a closed pipeline without messages [shmcomm.leave.drained]. The caller holds the
// membership lock, and no keeper lives.
func (s *segment) unlinkDrained() {
	if s.pattern != PatternPipeline || s.state.Load() != StateClosed { // A7: pairs with R7
		return
	}
	if s.head.Load() == s.tail.Load() { // A2, A3: pair with R2, R3
		s.unlink()
	}
}

// closedStill is asked by a puller that comes to answer CLOSED: under the membership lock, is it closed still, and empty? Then the name
// goes [shmcomm.leave.drained]. A keeper may have taken the channel over meanwhile.
func (e *endpoint) closedStill() bool {
	if e.pattern != PatternPipeline || e.members.Lock() != nil {
		return true
	}
	defer e.members.Unlock()
	if e.state.Load() != StateClosed || e.head.Load() != e.tail.Load() { // A7, A2, A3: pair with R7, R2, R3
		return false
	}
	if lives, err := e.keeperLives(); err == nil && !lives {
		e.unlinkDrained()
	}
	return true
}
