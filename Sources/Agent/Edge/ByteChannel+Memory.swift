import Bytes
import TLS

/// What a channel gives back after about a second of silence.
extension ByteChannel {
    /// Something moved: memory stays for a while.
    func touch() {
        isQuiet = false
        if activePlace == nil { parts.noteActive(self) }
    }

    /// For `ChannelLoop`, once a second while something moves. True when the channel needs no further look.
    func releaseIfQuiet() -> Bool {
        guard isQuiet else {
            isQuiet = true
            return false
        }
        input.shrinkIfEmpty()
        output.shrinkIfEmpty()
        session?.releaseIdleMemory()
        return true
    }
}
