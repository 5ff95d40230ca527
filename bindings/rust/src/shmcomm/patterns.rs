// SPDX-License-Identifier: MIT
//! Publishers, subscribers and observers; pushers and pullers.

use std::path::{Path, PathBuf};

use super::claim::Claim;
use super::endpoint::{Endpoint, Joining};
use super::info::{HeaderInfo, HeldFrame, Info};
use super::layout::*;
use super::names::locate;
use super::reader::Reader;
use super::segment::Segment;
use super::validate::Finding;
use super::view::View;
use super::writer::Writer;
use super::{Message, Meta, Options, Start};
use crate::error::{Answer, Error, Result};
use crate::wait::Wait;

/// What all ends of channels have, beside what they are for: where their channel is, and what it looks like.
macro_rules! looks {
    ($end:ident, $self:ident, $segment:expr, $locator:expr) => {
        impl $end {
            /// The segment's name with its leading slash, or its path.
            #[must_use]
            pub fn segment(&self) -> &Path {
                let $self = self;
                $locator
            }

            /// The header as it stands there.
            #[must_use]
            pub fn header(&self) -> HeaderInfo {
                let $self = self;
                $segment.header_info()
            }

            /// The frames that are held, oldest first; for operators.
            ///
            /// # Errors
            /// [`Error::Corrupt`](crate::Error::Corrupt) when head and tail are impossible.
            pub fn held(&self) -> Result<Vec<HeldFrame>> {
                let $self = self;
                $segment.held()
            }
        }
    };
}
pub(super) use looks;

/// What publishers and pushers have in common.
macro_rules! sends {
    ($end:ident) => {
        impl $end {
            /// Fill a message in place. Between claim and commit this endpoint holds the writers' lock: be quick.
            ///
            /// # Errors
            /// As for sending; [`Error::Busy`](crate::Error::Busy), too, while a claim of this endpoint is open.
            pub fn claim(&mut self, length: usize, meta: &Meta) -> Result<Answer<Claim<'_>>> {
                self.writer.claim(length, meta, Wait::at_most(std::time::Duration::ZERO))
            }

            /// The claim that was [kept](Claim::keep), to be ended.
            pub fn open_claim(&mut self) -> Option<Claim<'_>> {
                self.writer.open_claim()
            }

            /// The channel, and what this endpoint has done.
            #[must_use]
            pub fn info(&self) -> Info {
                let writer = &self.writer;
                Info { sent: writer.sent, refused: writer.refused, ..writer.endpoint.info() }
            }
        }

        looks!($end, end, end.writer.segment(), end.writer.endpoint.locator());
    };
}

/// Join or make the channel of a pattern, to write.
fn open_writer(pattern: u32, name: &Path, options: &Options) -> Result<Writer> {
    let options = options.checked(DEFAULT_CAPACITY)?;
    let mut writer = Writer::new(Endpoint::join(&locate(pattern, name)?, &Joining::new(pattern, true, &options))?);
    if options.sole {
        writer.hold()?;
    }
    Ok(writer)
}

/// Sends messages to all who subscribe, and knows nothing of them: the oldest messages are overwritten.
///
/// Serves one thread at a time. A forked child has none of its parent's: calls answer [`Error::OutOfOrder`] there.
#[derive(Debug)]
pub struct Publisher {
    writer: Writer,
}

sends!(Publisher);

impl Publisher {
    /// Join the channel of a name, or make it; a name with a slash in it is the locator of the segment.
    ///
    /// # Errors
    /// [`Error::InvalidName`] [shmcomm.name.valid], [`Error::InvalidArgument`], [`Error::NotFound`], [`Error::Exists`]; [`Error::Busy`]:
    /// sole, and another one has the lock, or the number asked for is taken; [`Error::Unsupported`]: another pattern;
    /// [`Error::NotReady`], [`Error::Truncated`], [`Error::BadMagic`], [`Error::BadVersion`], [`Error::BadGeometry`],
    /// [`Error::Corrupt`], [`Error::Permission`], [`Error::System`]. After a failure nothing is left behind.
    pub fn open(name: impl AsRef<Path>, options: &Options) -> Result<Publisher> {
        open_writer(PATTERN_PUBSUB, name.as_ref(), options).map(|writer| Publisher { writer })
    }

    /// Send a message, at once. Answers its sequence.
    ///
    /// # Errors
    /// [`Error::TooLarge`]: more than half of the ring less [`FRAME_OVERHEAD`]; [`Error::Busy`]: another writer has held the lock for
    /// [`LOCK_PATIENCE_NS`]; [`Error::Corrupt`]; [`Error::OutOfOrder`] in a forked child. Nothing was sent.
    #[inline]
    pub fn send(&mut self, data: &[u8]) -> Result<u64> {
        self.send_with(data, &Meta::new(), std::time::Duration::ZERO)
    }

    /// The same, with what travels beside it. `wait`, if it is longer than [`LOCK_PATIENCE_NS`], is the time to wait for the lock.
    ///
    /// # Errors
    /// As [`Publisher::send`].
    #[inline]
    pub fn send_with(&mut self, data: &[u8], meta: &Meta, wait: impl Into<Wait>) -> Result<u64> {
        published(self.writer.send(data, meta, 0, wait.into())?)
    }

    /// Send messages in order; `each` gets the sequence of each one that was sent, also of those before an error.
    ///
    /// # Errors
    /// [`Error::TooLarge`], with none sent, if any is; otherwise as [`Publisher::send`].
    ///
    /// ```
    /// use shmwire::shmcomm::{Meta, Options, Publisher};
    /// # let name = format!("doc-batch-{}", std::process::id());
    /// let mut publisher = Publisher::open(&name, &Options::new())?;
    /// let mut sequences = Vec::new();
    /// publisher.send_batch(&["one", "two", "three"], &Meta::new(), |sequence| sequences.push(sequence))?;
    /// assert_eq!(sequences, [0, 1, 2]);
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    pub fn send_batch(&mut self, parts: &[impl AsRef<[u8]>], meta: &Meta, each: impl FnMut(u64)) -> Result<()> {
        published(self.writer.send_batch(parts, meta, Wait::at_most(std::time::Duration::ZERO), each)?)
    }
}

/// A pubsub channel always has room, and nobody asks whether it is closed.
#[inline]
fn published<T>(answer: Answer<T>) -> Result<T> {
    answer.done().ok_or(Error::OutOfOrder)
}

/// Gives messages to those who pull, each to one of them; they stay until somebody takes them.
///
/// Serves one thread at a time. A forked child has none of its parent's: calls answer [`Error::OutOfOrder`] there.
#[derive(Debug)]
pub struct Pusher {
    writer: Writer,
}

sends!(Pusher);

impl Pusher {
    /// Join the pipeline of a name, or make it; a name with a slash in it is the locator of the segment.
    ///
    /// # Errors
    /// As [`Publisher::open`].
    pub fn open(name: impl AsRef<Path>, options: &Options) -> Result<Pusher> {
        open_writer(PATTERN_PIPELINE, name.as_ref(), options).map(|writer| Pusher { writer })
    }

    /// Send a message, and wait for room if there is none: [`Answer::Full`] at once for no time, else [`Answer::Timeout`]
    /// [shmcomm.push.full]. Done carries its sequence. [`Answer::Closed`]: the pipeline was removed [shmcomm.push.closed].
    ///
    /// # Errors
    /// As [`Publisher::send`]; `wait` is the time to wait for the lock, too, if it is longer than [`LOCK_PATIENCE_NS`].
    #[inline]
    pub fn send(&mut self, data: &[u8], wait: impl Into<Wait>) -> Result<Answer<u64>> {
        self.send_with(data, &Meta::new(), wait)
    }

    /// The same, with what travels beside it.
    ///
    /// # Errors
    /// As [`Pusher::send`].
    #[inline]
    pub fn send_with(&mut self, data: &[u8], meta: &Meta, wait: impl Into<Wait>) -> Result<Answer<u64>> {
        self.writer.send(data, meta, 0, wait.into())
    }

    /// Send messages in order, waiting for room; `each` gets the sequence of each one that was sent, also of those before another
    /// answer or an error.
    ///
    /// # Errors
    /// [`Error::TooLarge`], with none sent, if any is; otherwise as [`Pusher::send`].
    pub fn send_batch(
        &mut self,
        parts: &[impl AsRef<[u8]>],
        meta: &Meta,
        wait: impl Into<Wait>,
        each: impl FnMut(u64),
    ) -> Result<Answer<()>> {
        self.writer.send_batch(parts, meta, wait.into(), each)
    }

    /// As [`Pusher::claim`], but waits for room.
    ///
    /// # Errors
    /// As [`Pusher::claim`].
    pub fn wait_claim(&mut self, length: usize, meta: &Meta, wait: impl Into<Wait>) -> Result<Answer<Claim<'_>>> {
        self.writer.claim(length, meta, wait.into())
    }
}

/// Takes messages of a pipeline: each goes to one of those who pull.
///
/// Serves one thread at a time. A forked child has none of its parent's: calls answer [`Error::OutOfOrder`] there. A message that was
/// taken dies with who took it.
#[derive(Debug)]
pub struct Puller {
    endpoint: Endpoint,
    received: u64,
}

looks!(Puller, end, end.endpoint.segment, end.endpoint.locator());

impl Puller {
    /// Join the pipeline of a name, once it is there; a name with a slash in it is the locator of the segment.
    ///
    /// # Errors
    /// As [`Publisher::open`]; [`Error::NotFound`] when nobody has made it in time.
    pub fn open(name: impl AsRef<Path>, options: &Options) -> Result<Puller> {
        let options = options.checked(DEFAULT_CAPACITY)?;
        let joining = Joining::new(PATTERN_PIPELINE, false, &options);
        let endpoint = Endpoint::join(&locate(PATTERN_PIPELINE, name.as_ref())?, &joining)?;
        Ok(Puller { endpoint, received: 0 })
    }

    /// Take the oldest message, copied to `buffer`; wait for one if there is none: [`Answer::Empty`] at once for no time, else
    /// [`Answer::Timeout`]. [`Answer::Closed`]: none will come, since all pushers have left [shmcomm.receive.closed].
    ///
    /// # Errors
    /// [`Error::TooSmall`] leaves the message where it is, to be taken next by whoever comes; [`Error::Corrupt`];
    /// [`Error::OutOfOrder`] in a forked child.
    #[inline]
    pub fn receive(&mut self, buffer: &mut [u8], wait: impl Into<Wait>) -> Result<Answer<Message>> {
        let answer = self.wait_for(wait.into(), |segment| segment.pull(buffer, None, &mut 0))?;
        self.received += u64::from(matches!(answer, Answer::Done(_)));
        Ok(answer)
    }

    /// Take as many messages as are there, have room in `messages`, and fit into `buffer` one after the other, each aligned to 8 in it;
    /// wait for the first only. Done carries how many; [`Message::payload`] finds each.
    ///
    /// # Errors
    /// [`Error::TooSmall`] when not even the first fits; [`Error::InvalidArgument`] when `messages` is empty; as [`Puller::receive`].
    pub fn receive_batch(&mut self, buffer: &mut [u8], messages: &mut [Message], wait: impl Into<Wait>) -> Result<Answer<usize>> {
        Segment::check_batch(messages)?;
        let answer = self.wait_for(wait.into(), |segment| segment.pull_batch(buffer, messages))?;
        self.received += answer.done().unwrap_or(0) as u64;
        Ok(answer)
    }

    #[inline]
    fn wait_for<T>(&mut self, wait: Wait, mut pull: impl FnMut(&Segment) -> Result<Answer<T>>) -> Result<Answer<T>> {
        self.endpoint.file()?;
        self.endpoint.wait_to_take(wait, |endpoint| match pull(&endpoint.segment)? {
            Answer::Closed if !endpoint.end_drained()? => Ok(Answer::Empty), // somebody has opened it again
            other => Ok(other),
        })
    }

    /// The channel, and what this endpoint has done.
    #[must_use]
    pub fn info(&self) -> Info {
        Info { received: self.received, ..self.endpoint.info() }
    }
}

/// What subscribers and observers have in common.
macro_rules! reads {
    ($end:ident) => {
        impl $end {
            /// The next message, copied to `buffer` and found whole; wait for one if there is none: [`Answer::Empty`] at once for no
            /// time, else [`Answer::Timeout`]. [`Answer::Closed`]: none will come [shmcomm.receive.closed]. [`Answer::Lapped`]:
            /// overtaken again and again, ask again; or, if asked to tell, a loss.
            ///
            /// # Errors
            /// [`Error::TooSmall`] leaves the message where it is, to be read next; [`Error::Corrupt`] for what no writer leaves.
            #[inline]
            pub fn receive(&mut self, buffer: &mut [u8], wait: impl Into<Wait>) -> Result<Answer<Message>> {
                self.reader.wait_for(wait.into(), |reader| reader.next(buffer))
            }

            /// As many messages as are there, have room in `messages`, and fit into `buffer` one after the other, each aligned to 8
            /// in it; waits for the first only. Done carries how many; [`Message::payload`] finds each.
            ///
            /// # Errors
            /// [`Error::TooSmall`] when not even the first fits; [`Error::InvalidArgument`] when `messages` is empty;
            /// [`Error::Corrupt`].
            pub fn receive_batch(
                &mut self,
                buffer: &mut [u8],
                messages: &mut [Message],
                wait: impl Into<Wait>,
            ) -> Result<Answer<usize>> {
                Segment::check_batch(messages)?;
                self.reader.wait_for(wait.into(), |reader| reader.next_batch(buffer, messages))
            }

            /// The next message where it lies. What is read through the view is the message only if [`View::check`] says so
            /// afterwards [shmcomm.receive.view].
            ///
            /// # Errors
            /// [`Error::Corrupt`].
            #[inline]
            pub fn view(&mut self, wait: impl Into<Wait>) -> Result<Answer<View<'_>>> {
                let answer = self.reader.wait_for(wait.into(), Reader::next_place)?;
                Ok(answer.map(|message| View::new(&self.reader.segment, message)))
            }

            /// Whether a message that was viewed is still where it was: as [`View::check`], for those who have no view any more.
            #[inline]
            pub fn check(&self, message: &Message) -> Answer<()> {
                self.reader.check(message)
            }

            /// Go to the oldest message held, or behind the newest; counts go on, and nothing counts as lost.
            ///
            /// # Errors
            /// [`Error::Corrupt`].
            pub fn seek(&mut self, start: Start) -> Result<()> {
                self.reader.seek(start)
            }

            /// The channel, and what this end has done.
            #[must_use]
            pub fn info(&self) -> Info {
                let reader = &self.reader;
                Info { received: reader.received, lost: reader.lost, ..reader.segment.info() }
            }
        }

        looks!($end, end, end.reader.segment, &end.locator);
    };
}

/// Follows a channel without its publishers knowing: what it has not read in time is lost, and told.
///
/// Serves one thread at a time. After a fork parent and child have one each.
#[derive(Debug)]
pub struct Subscriber {
    reader: Reader,
    locator: PathBuf,
}

reads!(Subscriber);

impl Subscriber {
    /// Attach to the channel of a name, once it is there; a name with a slash in it is the locator of the segment. Nothing is changed
    /// there, except that this one is counted when it sleeps, if the segment's mode allows that [shmcomm.segment.readonly].
    ///
    /// # Errors
    /// As [`Publisher::open`]; [`Error::NotFound`] when nobody has made it in time.
    pub fn open(name: impl AsRef<Path>, options: &Options) -> Result<Subscriber> {
        let locator = locate(PATTERN_PUBSUB, name.as_ref())?;
        let segment = Segment::look_at(&locator, !options.read_only, options.deadline())?;
        if segment.geometry.pattern != PATTERN_PUBSUB {
            return Err(Error::Unsupported("the channel has another pattern")); // [shmcomm.segment.pattern]
        }
        Ok(Subscriber { reader: Reader::new(segment, options.start, options.tell_lost)?, locator })
    }

    /// What the last [`Answer::Lapped`] stood for: sequences lost, or 0 for being overtaken again and again.
    #[must_use]
    pub fn told_lost(&self) -> u64 {
        self.reader.told_lost
    }
}

/// Looks into a channel of any pattern, read-only, from the oldest message on, and takes nothing.
#[derive(Debug)]
pub struct Observer {
    reader: Reader,
    locator: PathBuf,
}

reads!(Observer);

impl Observer {
    /// Attach to a channel: by the locator of its segment, or by the name of a publish/subscribe channel.
    ///
    /// # Errors
    /// As [`Subscriber::open`].
    pub fn open(name: impl AsRef<Path>, options: &Options) -> Result<Observer> {
        let locator = locate(PATTERN_PUBSUB, name.as_ref())?;
        let segment = Segment::look_at(&locator, false, options.deadline())?;
        Ok(Observer { reader: Reader::new(segment, Start::Oldest, false)?, locator })
    }

    /// Check header and frames. Of a channel that is written meanwhile it looks only at what stays.
    ///
    /// # Errors
    /// The first finding, and where.
    pub fn validate(&self) -> std::result::Result<(), Finding> {
        self.reader.segment.validate()
    }
}
