/** An end of the program that the user can do something about: shown as its message, without a stack. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  /** 1: it did not work; 2: it was used in a wrong way. */
  readonly exitCode: number;
  /** Of whoever refused, if anybody did. */
  readonly code: string | undefined;

  constructor(message: string, exitCode = 1, code?: string) {
    super(message);
    this.exitCode = exitCode;
    this.code = code;
  }
}
