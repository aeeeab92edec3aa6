import Bytes
import EventLoop
import PKI
import TLS

/// Stands between a stream's local connection and a target that is reached by name or over TLS: the local connection has
/// one end of a socket pair, this has the other and carries the bytes on.
///
/// So `LocalConnection`, made for sockets that can be read straight into frames, needs to know nothing of TLS; the price
/// is one more copy through the kernel for such targets alone.
///
/// It lives on the worker's loop until both its sockets are closed; `WorkerCore` keeps it.
final class TargetBridge: ByteChannelOwner {
    private unowned let core: WorkerCore
    private weak var local: LocalConnection?
    private let inner: ByteChannel
    private var outer: ByteChannel?
    private var dial: TargetDial?
    private let isFramed: Bool
    /// The target, for the log.
    let place: String
    /// The service that it is a target of.
    let service: String
    /// How TLS was to be spoken when it was dialled.
    private let tls: TargetTLS?
    private var isOver = false
    /// Directions whose end was passed on: from the local connection, and from the target.
    private var passedEnds: (fromInner: Bool, fromOuter: Bool) = (false, false)
    /// Sockets on which everything was sent, the end included.
    private var finished: (inner: Bool, outer: Bool) = (false, false)

    /// Starts to connect to `target`; `socket` is the other end of `local`'s pair.
    init(
        _ socket: consuming FileDescriptor, local: LocalConnection, service: LocalService, core: WorkerCore
    ) throws(SystemError) {
        self.core = core
        self.local = local
        self.service = service.name
        let target = service.target
        tls = target.tls
        isFramed = target.tls?.isFramed ?? true
        place = target.endpoint.description
        inner = ByteChannel(socket, parts: core.channels)
        inner.owner = self
        try inner.start()
        dial = TargetDial(target, timeout: service.connectTimeout, parts: core.channels) { [unowned self] result in
            dialled(result)
        }
    }

    private func dialled(_ result: Result<ByteChannel, TargetError>) {
        core.noticeTarget(dial?.session, at: place)
        dial = nil
        switch result {
        case .success(let channel):
            outer = channel
            channel.owner = self
            // What has changed while hands were shaken counts like what changes from now on.
            if let target = core.routing.services[service]?.target, target.endpoint.description == place,
                let now = target.tls, now != tls, let session = channel.session,
                let objection = now.objection(to: session.peerChain)
            {
                core.noticeWithdrawn(service, place, objection, count: 1)
                let local = local
                end()
                local?.bridgeFailed(.withdrawn)
                return
            }
            local?.bridgeConnected()
            guard !isOver else { return }
            move()
        case .failure(let error):
            let local = local
            end()
            local?.bridgeFailed(error)
        }
    }

    /// The certificates by which the target has proven itself; nil without TLS, and before.
    var chain: [Certificate]? { outer?.session?.peerChain }

    /// The target's certificates are not good any more.
    func withdraw() {
        let local = local
        end()
        local?.bridgeBroken()
    }

    /// The local connection is closed: in order, or because its stream was reset.
    func localClosed(isReset: Bool) {
        local = nil
        guard !isOver else { return }
        guard let outer else { return end() }
        // In order it closes only after both directions have ended; what it wrote before is still in the pair.
        if isReset || outer.inputEnd == .open { end() }
    }

    /// Closes everything at once.
    private func end() {
        guard !isOver else { return }
        isOver = true
        dial?.cancel()
        dial = nil
        outer?.reset()
        inner.close()
        core.forget(self)
    }

    // MARK: - Bytes

    func channelSecured(_ channel: ByteChannel) {}

    func channelReceived(_ channel: ByteChannel) { move() }

    func channelDrained(_ channel: ByteChannel) { move() }

    func channelFinished(_ channel: ByteChannel) {
        if channel === inner { finished.inner = true } else { finished.outer = true }
        closeIfDone()
    }

    func channelFailed(_ channel: ByteChannel, _ error: ChannelError) {
        let local = local
        end()
        local?.bridgeBroken()
    }

    private func move() {
        guard !isOver, let outer else { return }
        if carry(inner, outer), !passedEnds.fromInner {
            passedEnds.fromInner = true
            outer.finishWriting()
        }
        if carry(outer, inner), !passedEnds.fromOuter {
            // Without close_notify something may have been cut off (RFC 8446, section 6.1).
            if outer.inputEnd == .truncated, !isFramed { return channelFailed(outer, .handshakeTruncated) }
            passedEnds.fromOuter = true
            inner.finishWriting()
        }
        // Nobody reads the target's bytes any more.
        if !isOver, inner.isOutputBroken, outer.inputEnd == .open { return channelFailed(inner, .handshakeTruncated) }
        closeIfDone()
    }

    /// Carries what there is; true when all of it has been and its end was reached.
    private func carry(_ from: ByteChannel, _ to: ByteChannel) -> Bool {
        if !from.input.isEmpty {
            guard !to.isCongested else {
                from.pauseReading()
                return false
            }
            from.input.withReadable { to.output.append($0) }
            from.input.removeAll(keepingCapacity: true)
            to.flush()
        }
        guard from.inputEnd == .open else { return true }
        from.resumeReading()
        return false
    }

    private func closeIfDone() {
        guard !isOver, finished == (true, true), passedEnds == (true, true) else { return }
        isOver = true
        outer?.close()
        inner.close()
        core.forget(self)
    }
}
