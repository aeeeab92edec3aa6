import EventLoop
import HTTP
import JSON

/// The sending half of a webhook, on the control plane: one request at a time.
@ControlPlane
final class WebhookSender: TimerHandler {
    private let output: WebhookOutput
    private let settings: WebhookOutput.Settings
    private let log: Log
    private let parts: ChannelLoop
    private var request: HTTPFetch?
    private var timer: TimerID?
    /// The pause after the next failure, in nanoseconds.
    private var pause: UInt64
    private var isFailing = false
    /// Drops that the log knows of.
    private var toldDrops: UInt64 = 0

    init(_ output: WebhookOutput, _ settings: WebhookOutput.Settings, log: Log) {
        self.output = output
        self.settings = settings
        self.log = log
        parts = ChannelLoop(ControlPlane.loop)
        pause = settings.firstPause
    }

    /// There are events, or it is time to try again.
    func wake() {
        guard request == nil, timer == nil else { return }
        let batch = output.batch()
        guard !batch.isEmpty else { return }
        let body = Array(JSONValue.array(batch).text().utf8)
        let fetch = HTTPFetch.Request(
            method: .post, accept: "*/*", content: ("application/cloudevents-batch+json", body),
            headers: [("Conduit-Signature", settings.signature.header(body, at: Clock.unixSeconds()))],
            accepted: 200...299)
        request = HTTPFetch(
            settings.source, fetch, maximumSize: Self.answerLimit, timeout: settings.timeout, parts: parts
        ) { [weak self] result in
            ControlPlane.assumeIsolated { self?.ended(batch.count, result) }
        }
    }

    /// Bytes of an answer, of which nothing is used.
    private static let answerLimit = 64 << 10

    private func ended(_ count: Int, _ result: Result<HTTPFetch.Answer, HTTPFetch.Failure>) {
        request = nil
        switch result {
        case .success:
            output.settle(count, isDelivered: true)
            pause = settings.firstPause
            if isFailing {
                isFailing = false
                log.info("webhook_works_again", "security events are delivered again", place)
            }
            tellDrops()
            wake()
        case .failure(let failure) where Self.isFinal(failure.status):
            // The same again would be refused again, and keep what comes behind it waiting.
            output.failed(failure.text)
            output.settle(count, isDelivered: false)
            log.error(
                "webhook_refused", "the server refused security events for good",
                place + [("count", JSONValue(count)), ("detail", .string(failure.text))])
            again()
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

    private var place: [Log.Field] { [("url", .string(settings.source.url))] }

    /// Whether a status says that trying again is of no use (RFC 9110, section 15.5): not with 408, 425 and 429.
    private static func isFinal(_ status: Int?) -> Bool {
        guard let status else { return false }
        return (400...499).contains(status) && ![408, 425, 429].contains(status)
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
