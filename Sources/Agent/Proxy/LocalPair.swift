import EventLoop
import Link
import Policy

/// Joins an application and a target on the same node: bytes go from socket to socket, no link between them.
final class LocalPair: StreamCarrier, TimerHandler {
    /// Bytes that wait for a socket before the other one is not read any more.
    private static let maximumWaiting = 128 << 10
    /// Reads in a row before other connections of the loop have their turn.
    private static let turns = 8

    let application: LocalConnection
    let target: LocalConnection
    private unowned let core: WorkerCore
    private var isConnected = false
    private var resumption: TimerID?

    init(application: LocalConnection, target: LocalConnection, core: WorkerCore) {
        self.application = application
        self.target = target
        self.core = core
    }

    func localReadable(_ local: LocalConnection) { move(from: local) }

    func localTook(_ local: LocalConnection, _ count: Int) { move(from: other(local)) }

    private func other(_ local: LocalConnection) -> LocalConnection { local === application ? target : application }

    private func move(from source: LocalConnection) {
        let sink = other(source)
        for _ in 0..<Self.turns {
            guard !source.isClosed, !sink.isClosed, sink.waitingBytes < Self.maximumWaiting else { return }
            let room = core.scratch
            switch source.read(into: room) {
            case .bytes(let count, let drained):
                core.counters.localBytes &+= UInt64(count)
                guard sink.deliver(UnsafeRawBufferPointer(rebasing: room[..<count])) != nil else {
                    return localFailed(sink)
                }
                if drained { return }
            case .wouldBlock: return
            case .end:
                sink.finishWriting()
                source.finishedReading()
                return
            case .failed: return localFailed(source)
            }
        }
        // More is there: go on after the others' turn.
        guard resumption == nil else { return }
        resumption = core.loop.schedule(after: 0, self, tag: 0)
    }

    func timerFired(tag: Int, loop: EventLoop) {
        resumption = nil
        move(from: application)
        move(from: target)
    }

    func localConnected(_ local: LocalConnection) {
        isConnected = true
        application.cancelTimer()
        if let attempt = application.attempt { core.opening.accepted(application, attempt) }
        local.flush()
        move(from: target)
    }

    func localConnectFailed(_ local: LocalConnection, _ error: TargetError) {
        giveUpTarget("\(error)", reason: error.reason.name)
    }

    func localTimedOut(_ local: LocalConnection) {
        giveUpTarget("the target did not answer in time", reason: "target_unreachable")
    }

    private func giveUpTarget(_ text: String, reason: String) {
        guard !isConnected else { return }
        target.detach()
        target.close()
        application.detach()
        core.forget(self)
        core.opening.failed(application, .unreachable, text, reason: reason)
    }

    func localFailed(_ local: LocalConnection) {
        other(local).reset()
        local.reset()
    }

    func withdraw(_ local: LocalConnection, _ text: String) {
        application.attempt?.observer?(.ended(reason: text))
        other(local).reset()
        local.reset()
    }
}
