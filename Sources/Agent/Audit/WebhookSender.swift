import EventLoop
import HTTP
import JSON

/// The sending half of a webhook, on the control plane: one request at a time.
@ControlPlane
final class WebhookSender: TimerHandler {
    private let output: WebhookOutput
    private let settings: WebhookOutput.Settings
    /// The server, and how TLS is spoken with it.
    private var source: HTTPFetch.Source
    private let log: Log
    private let parts: ChannelLoop
    private var request: HTTPFetch?
    private var timer: TimerID?
    /// The pause after the next failure, in nanoseconds.
    private var pause: UInt64
    private var isFailing = false
    /// Events in the next request: fewer after one that was refused, until the event is found that is.
    private var limit: Int
    /// Drops that the log knows of.
    private var toldDrops: UInt64 = 0

    init(_ output: WebhookOutput, _ settings: WebhookOutput.Settings, log: Log) {
        self.output = output
        self.settings = settings
        source = settings.source
        self.log = log
        parts = ChannelLoop(ControlPlane.loop)
        pause = settings.firstPause
        limit = settings.batch
    }

    /// Requests from now on are made by this; one that is under way goes on.
    func use(_ next: HTTPFetch.Source) { source = next }

    /// There are events, or it is time to try again.
    func wake() {
        guard request == nil, timer == nil else { return }
        let batch = output.batch(limit)
        guard !batch.isEmpty else { return }
        let body = Array(JSONValue.array(batch).text().utf8)
        let fetch = HTTPFetch.Request(
            method: .post, accept: "*/*", content: ("application/cloudevents-batch+json", body),
            headers: [("Conduit-Signature", settings.signature.header(body, at: Clock.unixSeconds()))],
            accepted: 200...299)
        request = HTTPFetch(
            source, fetch, maximumSize: Self.answerLimit, timeout: settings.timeout, parts: parts
        ) { [weak self] result in
            ControlPlane.assumeIsolated { self?.ended(batch, result) }
        }
    }

    /// Bytes of an answer, of which nothing is used.
    private static let answerLimit = 64 << 10

    private func ended(_ batch: [JSONValue], _ result: Result<HTTPFetch.Answer, HTTPFetch.Failure>) {
        request = nil
        switch result {
        case .success:
            output.settle(batch.count, isDelivered: true)
            pause = settings.firstPause
            limit = min(2 * limit, settings.batch)
            if isFailing {
                isFailing = false
                log.info("webhook_works_again", "security events are delivered again", place)
            }
            tellDrops()
            wake()
        case .failure(let failure) where Self.isRefusal(failure.status):
            output.failed(failure.text)
            if batch.count > 1 {
                // One of them it does not take, and the others must not be lost with it.
                limit = batch.count / 2
                wake()
            } else {
                refused(batch[0], failure.text)
                again()
            }
        case .failure(let failure):
            output.failed(failure.text)
            if !isFailing {
                isFailing = true
                log.warning(
                    "webhook_failing", "security events cannot be delivered; they wait, and are tried again",
                    place + [("detail", .string(failure.text))])
            }
            tellDrops()
            again()
        }
    }

    /// The same again would be refused again, and keep what comes behind it waiting.
    private func refused(_ event: JSONValue, _ detail: String) {
        output.settle(1, isDelivered: false)
        log.error(
            "webhook_refused", "the server refused a security event for good; the audit log has it",
            place + [
                ("id", event["id"] ?? .null), ("type", event["type"] ?? .null), ("detail", .string(detail)),
            ])
    }

    private var place: [Log.Field] { [("url", .string(source.url))] }

    /// Whether a status speaks against what was sent (RFC 9110, section 15.5), so that trying the same again is of no use. Those that
    /// speak against the address, the credentials or the moment speak against no event: they go away when somebody mends them.
    private static func isRefusal(_ status: Int?) -> Bool {
        guard let status else { return false }
        return (400...499).contains(status) && ![401, 404, 405, 407, 408, 410, 421, 425, 426, 429].contains(status)
    }

    private func tellDrops() {
        let dropped = output.status.dropped
        guard dropped > toldDrops else { return }
        log.error(
            "webhook_dropped", "security events were dropped, because too many waited; the audit log has them",
            place + [("count", JSONValue(dropped - toldDrops))])
        toldDrops = dropped
    }

    /// After a pause of half to all of what is due, so that nodes do not come all at once.
    private func again() {
        let due = pause / 2 + UInt64.random(in: 0...pause / 2)
        pause = min(2 * pause, settings.longestPause)
        timer = ControlPlane.loop.schedule(after: due, self)
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            wake()
        }
    }

    /// Ends.
    func stop() {
        request?.cancel()
        request = nil
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
    }
}
