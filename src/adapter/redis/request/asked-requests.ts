/** Requests of a connection whose outcome is not one command's reply: those of EXEC, WATCH and the like, by negative token. */
import type { Reply } from '../protocol/index.ts';

interface Asked {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/** See the top of the file. */
export class AskedRequests {
  private readonly open = new Map<number, Asked>();
  private last = 0;

  /** @param begin gets the token of the request. @returns the request's outcome */
  ask(begin: (token: number) => void): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const token = --this.last;
      this.open.set(token, { resolve, reject });
      begin(token);
    });
  }

  settle(token: number, error: Error | undefined, reply: Reply | undefined): void {
    const asked = this.open.get(token)!;
    this.open.delete(token);
    if (error === undefined) asked.resolve(reply ?? null);
    else asked.reject(error);
  }
}
