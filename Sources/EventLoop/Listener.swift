internal import CLinux
internal import Glibc

/// Receives the connections of a `Listener`.
public protocol AcceptHandler: AnyObject {
    /// A connection was accepted; the descriptor is non-blocking and now the handler's.
    func accepted(_ descriptor: consuming FileDescriptor, from peer: SocketAddress, listener: Listener, loop: EventLoop)

    /// A connection could not be accepted for want of descriptors or memory. For logs and metrics; the listener goes
    /// on by itself.
    func acceptFailed(_ error: SystemError, listener: Listener, loop: EventLoop)
}

/// Accepts connections on a loop.
///
/// When descriptors run out (EMFILE, ENFILE), the waiting connection would keep the listening socket ready and the loop
/// turning without rest, and its client waiting without an answer. Therefore the listener keeps a *reserve*
/// descriptor: it closes the reserve, accepts the connection with the number that became free, resets it, and opens the
/// reserve again, so that clients learn at once that they are refused. Where even that fails, and when the kernel has
/// no memory, it stops accepting for `pause`.
///
/// The loop keeps the listener alive, and the listener its handler, until `close()`.
public final class Listener {
    /// How many connections a tick accepts at most, so that a crowd at the door does not delay those inside.
    public static let batchSize = 64
    /// How long (nanoseconds) nothing is accepted when not even the reserve helped.
    public static let pause: UInt64 = 100 * Clock.millisecond

    /// Where it listens; with the real port where 0 was asked for.
    public let address: SocketAddress

    private var socket: FileDescriptor?
    private var reserve: FileDescriptor?
    private var registration: Registration?
    private var timer: TimerID?
    private let handler: any AcceptHandler
    private let loop: EventLoop

    /// How many connections were accepted and handed over.
    public private(set) var acceptedCount: UInt64 = 0
    /// How many connections were reset for want of descriptors.
    public private(set) var shedCount: UInt64 = 0

    /// Starts to accept connections from `socket`, which listens (see `Socket.listen`).
    public init(_ socket: consuming FileDescriptor, loop: EventLoop, handler: any AcceptHandler) throws(SystemError) {
        let fd = socket.rawValue
        address = Socket.localAddress(fd) ?? .unix(path: "")
        self.loop = loop
        self.handler = handler
        self.socket = consume socket
        reserve = Self.openReserve()
        registration = try loop.register(fd, .readable, self)
    }

    /// Accepts everything that waits in the socket's queue, which closing it would reset.
    public func acceptWaiting() {
        var before: UInt64
        repeat {
            before = acceptedCount
            ready(.readable, loop: loop)
        } while acceptedCount > before
    }

    /// Stops listening and closes the socket. The file of a Unix socket stays.
    public func close() {
        if let registration = registration.take() { loop.deregister(registration) }
        if let timer = timer.take() { loop.cancel(timer) }
        socket = nil
        reserve = nil
    }

    private static func openReserve() -> FileDescriptor? {
        let fd = clinux_open("/dev/null", O_RDONLY)
        return fd >= 0 ? FileDescriptor(owning: fd) : nil
    }
}

extension Listener: EventHandler, TimerHandler {
    /// Accepts what waits.
    public func ready(_ readiness: Readiness, loop: EventLoop) {
        for _ in 0..<Self.batchSize {
            // The handler may have closed the listener.
            guard let fd = socket?.rawValue else { return }
            do throws(SystemError) {
                guard let (descriptor, peer) = try Syscall.accept(fd) else { return }
                acceptedCount += 1
                handler.accepted(FileDescriptor(owning: descriptor), from: peer, listener: self, loop: loop)
            } catch {
                switch error.errno {
                case EMFILE, ENFILE:
                    shed(error, fd)
                    return
                case ENOBUFS, ENOMEM:
                    rest(error)
                    return
                default:
                    // The connection died before it was accepted (ECONNABORTED and whatever else the network reported,
                    // see accept(2)): the next one is not concerned.
                    continue
                }
            }
        }
    }

    /// Resets a connection by means of the reserve.
    private func shed(_ error: SystemError, _ fd: Int32) {
        if reserve == nil { return rest(error) }
        reserve = nil
        var isShed = false
        do throws(SystemError) {
            if let (descriptor, _) = try Syscall.accept(fd) {
                let connection = FileDescriptor(owning: descriptor)
                if address.port != nil { try Socket.setLingerZero(connection.rawValue) }
                isShed = true
            }
        } catch {
            // Another thread took the number; resting is all that is left.
        }
        reserve = Self.openReserve()
        if isShed { shedCount += 1 }
        if isShed, reserve != nil {
            handler.acceptFailed(error, listener: self, loop: loop)
        } else {
            rest(error)
        }
    }

    /// Accepts nothing for a while.
    private func rest(_ error: SystemError) {
        if let registration { loop.modify(registration, []) }
        if timer == nil { timer = loop.schedule(after: Self.pause, self) }
        handler.acceptFailed(error, listener: self, loop: loop)
    }

    /// Goes on after a rest.
    public func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        if reserve == nil { reserve = Self.openReserve() }
        if let registration { loop.modify(registration, .readable) }
    }
}
