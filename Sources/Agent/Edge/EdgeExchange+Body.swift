import Bytes
import EventLoop
import Gateway
import HTTP

/// The request's body: passed on as it comes, collected for the edge itself, or thrown away.
extension EdgeExchange {
    /// Whether the request's body can be taken now.
    var takesBody: Bool {
        if requestBody.isComplete { return false }
        if requestBody.collected != nil { return true }
        if requestBody.isDiscarded || !head.framing.hasBody { return true }
        guard let backend, case .awaitingResponse = state else {
            if case .responding = state, let backend { return !backend.channel.isCongested }
            return false
        }
        return !backend.channel.isCongested
    }

    /// The client is expected to send more of its body.
    var awaitsBody: Bool { !requestBody.isComplete && takesBody && head.framing.hasBody }

    /// How far the body is.
    struct RequestBody {
        /// Writes it for the service; nil until there is a connection.
        var writer: HTTPBodyWriter?
        /// The whole request was read.
        var isComplete = false
        /// What still comes is thrown away.
        var isDiscarded = false
        /// How many bytes came.
        var bytes = 0
        /// The body of a request for the edge itself, as far as it came.
        var collected: (atMost: Int, bytes: [UInt8], then: Collected)?
    }

    /// What is done with a body that was collected.
    typealias Collected = (EdgeExchange, [UInt8]) throws(EdgeRefusal) -> Void

    /// Collects the body of a request for the edge itself; `then` is called when it is complete.
    func collect(atMost: Int, then: @escaping Collected) {
        state = .collecting
        connection.setPhaseTime(core.runtime.configuration.limits.bodyTimeout.nanoseconds)
        requestBody.collected = (atMost, [], then)
        if head.expectsContinue, channel.input.isEmpty {
            channel.output.append(HTTPEncoder.continueResponse)
            channel.flush()
        }
    }

    private func collectedAll() {
        guard let collected = requestBody.collected else { return }
        requestBody.collected = nil
        do throws(EdgeRefusal) {
            try collected.then(self, collected.bytes)
        } catch {
            refuse(error)
        }
    }

    /// Takes `count` bytes of the body, at the front of the client's input; returns how many were taken. The caller removes
    /// them: a refusal may already have thrown away the whole input.
    func takeBody(_ count: Int) -> Int {
        requestBody.bytes += count
        if let limit = requestBody.collected?.atMost {
            guard requestBody.bytes <= limit else {
                refuse(
                    EdgeRefusal(reason: "body_too_large", status: 413, detail: "the body is larger than \(limit) bytes")
                )
                return count
            }
            channel.input.withReadable {
                requestBody.collected?.bytes += UnsafeRawBufferPointer(rebasing: $0[..<count])
            }
            return count
        }
        if requestBody.isDiscarded { return count }
        guard requestBody.bytes <= route?.settings.maximumBody ?? .max else {
            refuse(
                EdgeRefusal(
                    reason: "body_too_large", status: 413,
                    detail: "the body is larger than the \(route?.settings.maximumBody ?? 0) bytes allowed here",
                    closesConnection: true))
            return count
        }
        guard let backend else { return 0 }
        var failure: HTTPError?
        channel.input.withReadable { bytes in
            do throws(HTTPError) {
                try requestBody.writer?.write(
                    UnsafeRawBufferPointer(rebasing: bytes[..<count]), into: &backend.channel.output)
            } catch {
                failure = error
            }
        }
        // Not while the input is being read: refusing may throw it away.
        if let failure {
            refuse(EdgeRefusal(failure))
            return count
        }
        backend.channel.flush()
        connection.watchProgress()
        return count
    }

    /// The request is complete.
    func requestEnded() {
        requestBody.isComplete = true
        if case .collecting = state { return collectedAll() }
        if let backend, !requestBody.isDiscarded {
            do throws(HTTPError) {
                let fields = ProtectedFields.cleaned(trailers: requestTrailers, head: head.headers)
                try requestBody.writer?.finish(
                    trailers: forward?.framing == .chunked ? fields : HTTPHeaders(), into: &backend.channel.output)
            } catch {
                return refuse(EdgeRefusal(error))
            }
            backend.channel.flush()
        }
        if case .answered = state { end() }
    }

    /// The rest of the request is malformed: where it ends is not known.
    func requestBroken(_ error: HTTPError) {
        requestBody.isComplete = false
        refuse(EdgeRefusal(error))
    }
}
