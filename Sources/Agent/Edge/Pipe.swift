import Bytes
import EventLoop

/// Who has the other end of a pipe and can go on with a socket instead.
protocol PipeSwitching: AnyObject {
    /// The pipe has become a socket: bytes go on there, in their order.
    func pipeBecame(_ descriptor: consuming FileDescriptor)
}

/// One end of a stream within one loop: what a socket pair is, without descriptors and the kernel's copies.
///
/// A stream of the mesh for the edge would otherwise take two descriptors beside the client's own. Both ends behave as
/// edge-triggered sockets do: the handler is told at the end of the tick that there is something to read or room to write.
/// Where an end has to go to another loop, the pipe becomes a socket pair.
final class PipeEnd: TickHandler, TimerHandler {
    /// Bytes that one direction holds.
    private static let capacity = 64 << 10
    /// Memory that an empty direction keeps.
    private static let kept = 512

    private unowned let loop: EventLoop
    private var peer: PipeEnd?
    private var handler: (any EventHandler)?
    private var inbox = ByteQueue()
    private var isEnded = false
    private var isBroken = false
    private var senderWaits = false
    private var pending: Readiness = []
    private var isScheduled = false
    /// The tick in which the handler was told last.
    private var toldAt: UInt64?

    private init(_ loop: EventLoop) { self.loop = loop }

    /// Both ends of a new pipe.
    static func pair(_ loop: EventLoop) -> (PipeEnd, PipeEnd) {
        let (one, other) = (PipeEnd(loop), PipeEnd(loop))
        one.peer = other
        other.peer = one
        return (one, other)
    }

    /// Tells `handler` from now on what happens; keeps it alive until the end is closed, as the loop would.
    func start(_ handler: any EventHandler) {
        self.handler = handler
        if !inbox.isEmpty || isEnded || isBroken { notify(.readable) }
    }

    // MARK: - Bytes

    /// Takes what is there, as `recv` does: 0 is the peer's end.
    func read(into room: UnsafeMutableRawBufferPointer) -> IOResult {
        if inbox.isEmpty {
            if isBroken { return .failed(Errno.connectionReset) }
            return isEnded ? .done(0) : .wouldBlock
        }
        let count = min(room.count, inbox.count)
        inbox.withReadable { room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        inbox.consume(count)
        inbox.shrinkIfEmpty(keeping: Self.kept)
        if senderWaits, inbox.count <= Self.capacity / 2 {
            senderWaits = false
            peer?.notify(.writable)
        }
        return .done(count)
    }

    /// Gives bytes to the peer, as `send` does.
    func send(_ bytes: UnsafeRawBufferPointer) -> IOResult {
        guard let peer, !peer.isEnded, !peer.isBroken else { return .failed(Errno.brokenPipe) }
        let count = min(bytes.count, Self.capacity - peer.inbox.count)
        if count < bytes.count { peer.senderWaits = true }
        guard count > 0 else { return .wouldBlock }
        peer.inbox.append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        peer.notify(.readable)
        return .done(count)
    }

    /// Ends this direction.
    func shutdownWrite() {
        peer?.isEnded = true
        peer?.notify([.readable, .readHangup])
    }

    // MARK: - The end

    /// Ends both directions. What the peer sent and nobody read is lost, and the peer sees a reset then.
    func close() {
        let isLost = !inbox.isEmpty
        leave { peer in
            if isLost { peer.isBroken = true } else { peer.isEnded = true }
        }
    }

    /// Ends both directions; after what was sent before, the peer sees a reset.
    func reset() { leave { $0.isBroken = true } }

    private func leave(_ mark: (PipeEnd) -> Void) {
        handler = nil
        inbox.removeAll()
        guard let peer else { return }
        self.peer = nil
        peer.peer = nil
        mark(peer)
        peer.notify(peer.isBroken ? [.readable, .hangup, .error] : [.readable, .hangup])
    }

    /// Makes a socket pair of the pipe: the peer goes on with one socket, the other one is returned. What was under way goes
    /// along.
    ///
    /// - Parameter prepare: gets the socket that will be returned, before anything has changed; where it throws, nothing has.
    func becomeSocket(
        prepare: (Int32) throws(SystemError) -> Void = { (_: Int32) throws(SystemError) in }
    ) throws(SystemError) -> FileDescriptor {
        guard let peer, let other = peer.handler as? any PipeSwitching else {
            throw SystemError(call: "socketpair", errno: Errno.brokenPipe)
        }
        let raw = try Socket.pair().split { ours, theirs -> (Int32, Int32) in (ours.release(), theirs.release()) }
        let ours = FileDescriptor(owning: raw.0)
        let theirs = FileDescriptor(owning: raw.1)
        try prepare(ours.rawValue)
        // Both fit: a socket's buffer is larger than a pipe's.
        _ = inbox.withReadable { $0.isEmpty ? .done(0) : Syscall.send(theirs.rawValue, $0) }
        _ = peer.inbox.withReadable { $0.isEmpty ? .done(0) : Syscall.send(ours.rawValue, $0) }
        if isEnded { try? Syscall.shutdownWrite(theirs.rawValue) }
        handler = nil
        peer.handler = nil
        self.peer = nil
        peer.peer = nil
        other.pipeBecame(theirs)
        return ours
    }

    // MARK: - Telling

    private func notify(_ readiness: Readiness) {
        pending.formUnion(readiness)
        guard !isScheduled else { return }
        isScheduled = true
        // Once a tick: two ends that keep up with each other would otherwise hold the loop for as long as they do.
        if toldAt == loop.tickCount {
            loop.schedule(at: loop.now, self, tag: 0)
        } else {
            loop.atTickEnd(self)
        }
    }

    func timerFired(tag: Int, loop: EventLoop) { tell() }

    func tickEnded(loop: EventLoop) { tell() }

    private func tell() {
        isScheduled = false
        toldAt = loop.tickCount
        let readiness = pending
        pending = []
        handler?.ready(readiness, loop: loop)
    }
}
