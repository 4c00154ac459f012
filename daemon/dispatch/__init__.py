"""The one bridge between the queue and the transfer: Job -> TransferRequest, TransferError -> Outcome, both ways."""
