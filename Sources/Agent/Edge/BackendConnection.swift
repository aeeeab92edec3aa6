import Bytes
import EventLoop
import HTTP

/// Who uses a backend connection at the moment: a request, or a tunnel.
protocol BackendUser: AnyObject {
    /// There are bytes in the channel's `input`, or its end.
    func backendReceived(_ connection: BackendConnection)
    /// The service takes bytes again.
    func backendDrained(_ connection: BackendConnection)
    /// The connection broke. `withdrawn`: by somebody's decision, with this reason.
    func backendLost(_ connection: BackendConnection, _ error: ChannelError, withdrawn: String?)
}

/// One connection to a service, used by one request after the other, and between them in its pool.
final class BackendConnection: ByteChannelOwner {
    /// The connection itself.
    let channel: ByteChannel
    /// Where it leads and as whom.
    let key: BackendKey
    /// Reads the responses.
    var parser = ResponseParser()
    /// Requests that were sent on it before the present one.
    private(set) var uses = 0
    /// When it was put back, on the monotonic clock.
    var idleSince: UInt64 = 0
    /// Who uses it; nobody while it is in the pool.
    private(set) weak var user: (any BackendUser)?
    /// Why its stream was ended, where somebody decided so.
    var withdrawn: String?
    /// Why its stream broke; the channel's end alone may look like one in order.
    var broken: String?

    private unowned let pool: BackendPool
    /// Kept for a later word about a withdrawal.
    var attempt: (any BackendAttempt)?
    private var origin: (any BackendOrigin)?

    /// Opened for one long use: it never goes into the pool.
    let isOwn: Bool
    private var hasLeft = false
    /// It ends after the present request.
    private(set) var isRetired = false

    init(_ channel: ByteChannel, key: BackendKey, pool: BackendPool, isOwn: Bool = false) {
        self.isOwn = isOwn
        self.channel = channel
        self.key = key
        self.pool = pool
        channel.owner = self
    }

    /// Whether a request was answered on it before: then it may have died in the pool without anybody's fault.
    var isReused: Bool { uses > 1 }

    /// The pool is told of its end once; false the second time.
    func leave() -> Bool {
        defer { hasLeft = true }
        return !hasLeft
    }

    /// Keeps what it came from.
    func keep(_ origin: any BackendOrigin) { self.origin = origin }

    /// Gives it to a request.
    func use(by user: any BackendUser) {
        self.user = user
        uses += 1
    }

    /// The response is complete: back to the pool, if it can serve another request.
    func release() {
        user = nil
        pool.release(self)
    }

    /// It serves the request that it has, and no other.
    func retire() {
        isRetired = true
        if user == nil, !isOwn { close() }
    }

    /// Ends it.
    func close() {
        user = nil
        channel.close()
        pool.closed(self)
    }

    /// Ends it after what waits was sent.
    func closeAfterWriting() {
        user = nil
        channel.closeAfterWriting()
        pool.closed(self)
    }

    /// Ends it so that the service sees a reset: its answer is not wanted any more.
    func reset() {
        user = nil
        attempt?.abort()
        channel.reset()
        pool.closed(self)
    }

    func channelSecured(_ channel: ByteChannel) {}

    func channelReceived(_ channel: ByteChannel) {
        guard let user else { return close() }
        user.backendReceived(self)
    }

    func channelDrained(_ channel: ByteChannel) { user?.backendDrained(self) }

    func channelFailed(_ channel: ByteChannel, _ error: ChannelError) {
        let user = user
        self.user = nil
        pool.closed(self)
        user?.backendLost(self, error, withdrawn: withdrawn)
    }
}
