import Bytes
import EventLoop
import Glibc
import JSON

/// Why a takeover did not come about, or did not go on.
struct TakeoverError: Error, Sendable, CustomStringConvertible {
    /// What happened.
    let description: String
}

/// The two processes of a takeover talk over a Unix socket: messages of JSON, with bytes and descriptors where a message
/// needs them.
///
/// A message is the length of its JSON (4 bytes, big endian), the length of its bytes (4), the JSON, the bytes. The JSON has a
/// `type` and says how many descriptors came with the message's first byte.
@ControlPlane
final class TakeoverChannel: EventHandler {
    /// The version of what is spoken; both have to speak the same.
    static let version: Int64 = 1
    /// The longest JSON of a message: it says how a node is, not what a mesh has.
    private static let maximumJSON = 1 << 20
    /// The most bytes of a message: a directory's snapshot, as large as one that comes over a link.
    private static let maximumBytes = 256 << 20

    /// One message. Its descriptors are closed with it unless somebody takes them.
    final class Message {
        let type: String
        let json: JSONValue
        let bytes: [UInt8]
        private var descriptors: [Int32]

        fileprivate init(type: String, json: JSONValue, bytes: [UInt8], descriptors: [Int32]) {
            self.type = type
            self.json = json
            self.bytes = bytes
            self.descriptors = descriptors
        }

        deinit { for descriptor in descriptors { Glibc.close(descriptor) } }

        /// The descriptors, which are the caller's from now on.
        func takeDescriptors() -> [Int32] {
            defer { descriptors = [] }
            return descriptors
        }
    }

    private struct Piece {
        var bytes: ArraySlice<UInt8>
        /// Ours until they are sent.
        var descriptors: [Int32]
    }

    private var owned: FileDescriptor?
    private let descriptor: Int32
    private var registration: Registration?
    private var input = ByteQueue()
    private var arrived: [Int32] = []
    private var messages: [Message] = []
    private var output: [Piece] = []
    private var ending: TakeoverError?
    private var waiter: CheckedContinuation<Void, Never>?
    private var alarm: TimerID?

    /// Talks on `owned`, which is non-blocking.
    init(_ owned: consuming FileDescriptor) throws(SystemError) {
        descriptor = owned.rawValue
        self.owned = consume owned
        registration = try ControlPlane.loop.register(descriptor, [.readable], self)
    }

    /// Whether the other process can still be told something.
    var isOpen: Bool { ending == nil }

    // MARK: - In

    /// The next message, in order.
    ///
    /// - Parameter time: how long it is waited for, in nanoseconds; nil: as long as the other process lives.
    func next(within time: UInt64? = nil) async throws(TakeoverError) -> Message {
        let deadline = time.map { ControlPlane.loop.now &+ $0 }
        while messages.isEmpty {
            if let ending { throw ending }
            if let deadline, ControlPlane.loop.now >= deadline {
                throw TakeoverError(description: "the other process did not answer in time")
            }
            await wait(until: deadline)
        }
        return messages.removeFirst()
    }

    private func wait(until deadline: UInt64?) async {
        alarm = deadline.map {
            ControlPlane.schedule(at: $0) { [self] in
                alarm = nil
                wake()
            }
        }
        await withCheckedContinuation { waiter = $0 }
        if let alarm { ControlPlane.loop.cancel(alarm) }
        alarm = nil
    }

    private func wake() {
        waiter.take()?.resume()
    }

    nonisolated func ready(_ readiness: Readiness, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            if readiness.contains(.writable) { flush() }
            if !readiness.isDisjoint(with: [.readable, .readHangup, .hangup, .error]) { receive() }
        }
    }

    private func receive() {
        while registration != nil {
            let room = input.reserve(64 << 10)
            switch Socket.receive(descriptor, room, descriptors: &arrived) {
            case .done(0): return close("the other process closed the connection")
            case .done(let count):
                input.commit(count)
                takeMessages()
            case .wouldBlock: return
            case .failed(let errno): return close(SystemError.text(errno))
            }
        }
    }

    private func takeMessages() {
        while registration != nil, input.count >= 8 {
            let (head, tail) = input.withReadable { bytes in
                (Self.length(bytes, at: 0), Self.length(bytes, at: 4))
            }
            guard head <= Self.maximumJSON, tail <= Self.maximumBytes else { return close("a message is too long") }
            guard input.count >= 8 + head + tail else { return }
            let (text, bytes) = input.withReadable { all in
                (Array(all[8..<(8 + head)]), Array(all[(8 + head)..<(8 + head + tail)]))
            }
            input.consume(8 + head + tail)
            guard let json = try? JSONReader.parse(text), let type = json["type"]?.string,
                let count = json["descriptors"]?.integer, (0...Int64(arrived.count)).contains(count)
            else { return close("a message is not well formed") }
            let descriptors = Array(arrived.prefix(Int(count)))
            arrived.removeFirst(Int(count))
            messages.append(Message(type: type, json: json, bytes: bytes, descriptors: descriptors))
        }
        if !messages.isEmpty { wake() }
    }

    private static func length(_ bytes: UnsafeRawBufferPointer, at place: Int) -> Int {
        (0..<4).reduce(0) { $0 << 8 | Int(bytes[place + $1]) }
    }

    // MARK: - Out

    /// Sends a message.
    ///
    /// - Parameter descriptors: given away with this, whether they arrive or not; at most `Socket.maximumPassed`.
    func send(_ type: String, _ fields: JSONObject = [:], bytes: [UInt8] = [], passing descriptors: [Int32] = []) {
        guard isOpen else { return Self.closeAll(descriptors) }
        var object = fields
        object["type"] = .string(type)
        object["descriptors"] = .init(descriptors.count)
        let text = JSONValue.object(object).serialized()
        var writer = ByteWriter(minimumCapacity: 8 + text.count)
        writer.writeUInt32(UInt32(text.count))
        writer.writeUInt32(UInt32(bytes.count))
        output.append(Piece(bytes: (writer.bytes + text + bytes)[...], descriptors: descriptors))
        flush()
    }

    private func flush() {
        while isOpen, var piece = output.first {
            let result = piece.bytes.withUnsafeBytes {
                Socket.send(descriptor, $0, passing: piece.descriptors)
            }
            switch result {
            case .done(let count):
                Self.closeAll(piece.descriptors)
                piece.descriptors = []
                piece.bytes = piece.bytes.dropFirst(count)
                if piece.bytes.isEmpty { output.removeFirst() } else { output[0] = piece }
            case .wouldBlock: return modify()
            case .failed(let errno): return close(SystemError.text(errno))
            }
        }
        modify()
    }

    private func modify() {
        guard let registration else { return }
        ControlPlane.loop.modify(registration, output.isEmpty ? [.readable] : [.readable, .writable])
    }

    /// Waits until the other process has been sent everything, for `time` nanoseconds at most.
    func drain(within time: UInt64) async {
        let deadline = Clock.monotonicNanoseconds() + time
        while isOpen, !output.isEmpty, Clock.monotonicNanoseconds() < deadline {
            await ControlPlane.sleep(nanoseconds: 5_000_000)
        }
    }

    // MARK: - The end

    /// Ends the conversation.
    func close(_ why: String) {
        guard isOpen else { return }
        ending = TakeoverError(description: why)
        if let registration { ControlPlane.loop.deregister(registration) }
        registration = nil
        owned = nil
        for piece in output { Self.closeAll(piece.descriptors) }
        output = []
        Self.closeAll(arrived)
        arrived = []
        wake()
    }

    private static func closeAll(_ descriptors: [Int32]) {
        for descriptor in descriptors { Glibc.close(descriptor) }
    }
}
