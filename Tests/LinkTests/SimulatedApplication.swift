/// What an application at one end of a stream has sent and received, whatever carries the stream.
class SimulatedApplication {
    /// The same at both ends.
    let number: UInt64
    let openedHere: Bool
    var accepted = false
    /// The application's output: how much it will send, how much it has.
    let plan: Int
    var sent = 0
    var sendFinished = false
    var received = 0
    var unread = 0
    var receiveFinished = false
    /// Reset or refused, by whichever end.
    var ended = false
    /// The application does not read at the moment.
    var stalled = false
    /// The session was told that there is something to send.
    var marked = false

    init(number: UInt64, openedHere: Bool, plan: Int) {
        self.number = number
        self.openedHere = openedHere
        self.plan = plan
    }

    var outSeed: UInt64 { number * 2 + (openedHere ? 0 : 1) }
    var inSeed: UInt64 { number * 2 + (openedHere ? 1 : 0) }
    var isComplete: Bool { ended || (sendFinished && receiveFinished && unread == 0) }
}
