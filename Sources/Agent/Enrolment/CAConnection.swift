import Bytes
import EventLoop
import HTTP
import TLS

/// One connection to the CA: a handshake, one request, its answer.
final class CAConnection: ByteChannelOwner, TimerHandler {
    /// From the connection to the end of the request, in nanoseconds: a handshake and a CSR need a few round trips.
    private static let patience: UInt64 = 5_000_000_000
    /// A request holds a CSR of a few KiB.
    private static let maximumBody = 64 << 10

    private let channel: ByteChannel
    /// Who it is, as connections are counted.
    let source: String
    /// Its place in the order of connections.
    let number: UInt64
    private let parts: ChannelLoop
    private unowned let core: CACore
    private var session: TLSSession?
    private var parser: RequestParser
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var timer: TimerID?
    /// Keeps itself alive until it has ended.
    private var own: CAConnection?

    init(
        _ descriptor: consuming FileDescriptor, _ session: TLSSession, number: UInt64, from source: String,
        core: CACore,
        parts: ChannelLoop
    ) {
        channel = ByteChannel(descriptor, parts: parts)
        self.session = session
        self.number = number
        self.source = source
        self.core = core
        self.parts = parts
        var limits = HTTPLimits()
        limits.body = Self.maximumBody
        parser = RequestParser(limits: limits)
    }

    /// Begins with the handshake.
    func start() throws(SystemError) {
        guard let session else { return }
        own = self
        channel.owner = self
        timer = parts.loop.schedule(after: Self.patience, self, tag: 0)
        do throws(SystemError) {
            try channel.start()
        } catch {
            end()
            throw error
        }
        channel.startTLS(session)
    }

    func channelSecured(_ channel: ByteChannel) {}

    func channelDrained(_ channel: ByteChannel) {}

    func channelFailed(_ channel: ByteChannel, _ error: ChannelError) {
        if !channel.isSecured { core.handshakeFailed(error, from: source) }
        end()
    }

    func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        giveUp()
    }

    /// Ends a connection whose request has not come.
    func giveUp() {
        channel.close()
        end()
    }

    func channelReceived(_ channel: ByteChannel) {
        do throws(HTTPError) {
            while let event = try parser.next(&channel.input) {
                switch event {
                case .head(let found):
                    head = found
                    if found.expectsContinue { channel.output.append(HTTPEncoder.continueResponse) }
                case .body(let count):
                    channel.input.withReadable { body.append(contentsOf: $0[..<count]) }
                    parser.take(count, from: &channel.input)
                case .trailers: break
                case .end: return answer()
                }
            }
        } catch {
            return send(Problem(error).response())
        }
        if case .open = channel.inputEnd {
        } else {
            channel.close()
            return end()
        }
        channel.flush()
        channel.resumeReading()
    }

    private func answer() {
        guard let head, let session else { return end() }
        send(core.answer(head, body, session, from: source))
    }

    private func send(_ response: HTTPResponse) {
        var response = response
        response.head.headers.set("Connection", "close")
        channel.output.append(response.encoded())
        channel.closeAfterWriting()
        end()
    }

    private func end() {
        if let timer { parts.loop.cancel(timer) }
        timer = nil
        session = nil
        core.ended(self)
        own = nil
    }
}
