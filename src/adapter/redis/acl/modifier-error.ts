/** Why a rule was not taken; the texts are those of Redis. */

const TEXTS = {
  unknownCommand: 'Unknown command or category name in ACL',
  syntax: 'Syntax error',
  noSuchPassword: 'The password you are trying to remove from the user does not exist',
  badHash: 'The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters',
  keysAfterAll:
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. " +
    "Try 'resetkeys' to start with an empty list of patterns",
  channelsAfterAll:
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. " +
    "Try 'resetchannels' to start with an empty list of channels",
  firstArgumentOfSubcommand: 'Allowing first-arg of a subcommand is not supported',
} as const;

/** A rule that was not taken, with Redis' text as its message. It says nothing that the rule holds. */
export class ModifierError extends Error {
  override readonly name = 'ModifierError';
  readonly reason: keyof typeof TEXTS;

  constructor(reason: keyof typeof TEXTS) {
    super(TEXTS[reason]);
    this.reason = reason;
  }
}
