import EventLoop

/// What the byte channels of one loop share: the loop, buffers for one read at a time, and the work that is done once a
/// tick for many of them.
///
/// A channel has no buffers of its own for reading: bytes are received into `received`, opened into `opened`, and only
/// what is there is copied into the channel's queue. A thousand idle connections share these two.
final class ChannelLoop: TickHandler, TimerHandler {
    /// One receive. Four full TLS records: more saves little, and the copy stays in the cache.
    static let receiveSize = 64 << 10
    /// How often connections that have gone quiet give their memory back, in nanoseconds.
    static let sweepInterval: UInt64 = 1_000_000_000
    /// How often channels whose owners have made room are read again in one tick. What is left waits for the next
    /// tick, so that two fast peers do not keep everybody else waiting.
    private static let roundsPerTick = 4

    private static let sweepTag = 0
    private static let continueTag = 1

    /// The loop that all this happens on.
    let loop: EventLoop
    /// Where a socket is received into.
    let received = UnsafeMutableRawBufferPointer.allocate(byteCount: receiveSize, alignment: 64)
    /// Where TLS records are opened into.
    let opened = UnsafeMutableRawBufferPointer.allocate(byteCount: receiveSize, alignment: 64)

    /// Channels that still send what was written last, or wait for the peer to read it.
    var lingering = 0

    private var flushes: [ByteChannel] = []
    private var reads: [ByteChannel] = []
    private var isAtTickEnd = false
    private var isContinuing = false
    /// Channels on which something moved since they were last swept.
    private var active: [ByteChannel] = []
    private var sweep: TimerID?

    /// Parts for the channels of `loop`.
    init(_ loop: EventLoop) { self.loop = loop }

    deinit {
        received.deallocate()
        opened.deallocate()
    }

    // MARK: - Work at the end of a tick

    /// The channel has something to send; what is written to it during one tick is sent at once.
    func willFlush(_ channel: ByteChannel) {
        flushes.append(channel)
        askForTickEnd()
    }

    /// The channel may be read again, its owner has made room.
    func willRead(_ channel: ByteChannel) {
        reads.append(channel)
        askForTickEnd()
    }

    private func askForTickEnd() {
        guard !isAtTickEnd else { return }
        isAtTickEnd = true
        loop.atTickEnd(self)
    }

    func tickEnded(loop: EventLoop) {
        var rounds = 0
        while !flushes.isEmpty || !reads.isEmpty, rounds < Self.roundsPerTick {
            rounds += 1
            let sending = flushes
            flushes.removeAll(keepingCapacity: true)
            for channel in sending { channel.flushNow() }
            let reading = reads
            reads.removeAll(keepingCapacity: true)
            for channel in reading { channel.readAgain() }
        }
        // What the last round wrote goes out in any case.
        let sending = flushes
        flushes.removeAll(keepingCapacity: true)
        for channel in sending { channel.flushNow() }
        isAtTickEnd = false
        if !(flushes.isEmpty && reads.isEmpty), !isContinuing {
            isContinuing = true
            loop.schedule(at: loop.now, self, tag: Self.continueTag)
        }
    }

    // MARK: - Memory of quiet channels

    /// Something moved on the channel: look again later whether it has gone quiet.
    func noteActive(_ channel: ByteChannel) {
        channel.activePlace = active.count
        active.append(channel)
        if sweep == nil { sweep = loop.schedule(after: Self.sweepInterval, self, tag: Self.sweepTag) }
    }

    /// The channel is over. It is kept no longer: clients that connect and go at once, some ten thousand in a second, would
    /// otherwise leave as many TLS sessions until the next sweep.
    func noteClosed(_ channel: ByteChannel) {
        guard let place = channel.activePlace else { return }
        channel.activePlace = nil
        let last = active.removeLast()
        guard last !== channel else { return }
        active[place] = last
        last.activePlace = place
    }

    func timerFired(tag: Int, loop: EventLoop) {
        guard tag == Self.sweepTag else {
            isContinuing = false
            return askForTickEnd()
        }
        sweep = nil
        let moved = active
        active.removeAll(keepingCapacity: true)
        for channel in moved {
            channel.activePlace = nil
            if !channel.releaseIfQuiet() {
                channel.activePlace = active.count
                active.append(channel)
            }
        }
        if !active.isEmpty { sweep = loop.schedule(after: Self.sweepInterval, self, tag: Self.sweepTag) }
    }
}
