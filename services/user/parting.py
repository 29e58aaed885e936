"""The last letter: an account is being deleted. Its key names the erasure."""

from uuid import UUID

from libs.mail.letters import Letter, letter


def goodbye_key(erasure_id: UUID) -> str:
    """By which the letter is known."""
    return f"goodbye:{erasure_id}"


def goodbye(erasure_id: UUID) -> Letter:
    """Somebody deletes the account."""
    return letter(
        goodbye_key(erasure_id),
        "Your Easel account is deleted",
        "Your account is closed: nobody can log in to it any more, and its API keys have ended."
        " Your pictures, prompts, boards and everything else are erased now; a plan that would"
        " renew is cancelled. This takes a few minutes.",
        "What the law obliges us to keep, amounts and dates of payments, stays without your name or"
        " address. The payment provider, who sold to you in its own name, keeps its invoices.",
        "With this letter your address leaves our systems; nothing can be brought back. If it was"
        f" not you, answer to this letter and name the number {erasure_id}.",
    )
