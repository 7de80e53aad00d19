//! The other commands on a disk that is full from the start: those that write refuse with the room they need, those that
//! read answer, and nothing half written is left.
