/** The options of SET and GETEX. */
import { errors, optionName } from '../../protocol/index.ts';
import type { ExpiryUnit } from '../../values/index.ts';

/** An expiry option and its argument, not yet parsed. */
export interface ExpiryOption {
  readonly unit: ExpiryUnit;
  readonly text: Buffer;
}

export interface SetOptions {
  readonly condition: 'NX' | 'XX' | undefined;
  /** Reply with the old value. */
  readonly get: boolean;
  readonly keepTtl: boolean;
  readonly expiry: ExpiryOption | undefined;
}

export interface GetExOptions {
  readonly persist: boolean;
  readonly expiry: ExpiryOption | undefined;
}

const isExpiryUnit = (name: string): name is ExpiryUnit =>
  name === 'EX' || name === 'PX' || name === 'EXAT' || name === 'PXAT';

/**
 * Reads the options of SET from argument 3 on. An option may be repeated, the last one counts; NX excludes XX, and of the
 * four expiry options and KEEPTTL only one kind may be given.
 * @throws RedisError syntax error
 */
export function parseSetOptions(args: readonly Buffer[]): SetOptions {
  let condition: 'NX' | 'XX' | undefined;
  let get = false;
  let keepTtl = false;
  let expiry: ExpiryOption | undefined;
  for (let index = 3; index < args.length; index++) {
    const name = optionName(args[index]!);
    const argument = args[index + 1];
    if ((name === 'NX' || name === 'XX') && (condition ?? name) === name) {
      condition = name;
    } else if (name === 'GET') {
      get = true;
    } else if (name === 'KEEPTTL' && expiry === undefined) {
      keepTtl = true;
    } else if (isExpiryUnit(name) && !keepTtl && (expiry?.unit ?? name) === name && argument !== undefined) {
      expiry = { unit: name, text: argument };
      index++;
    } else {
      throw errors.syntax();
    }
  }
  return { condition, get, keepTtl, expiry };
}

/** Reads the options of GETEX from argument 2 on. @throws RedisError syntax error */
export function parseGetExOptions(args: readonly Buffer[]): GetExOptions {
  let persist = false;
  let expiry: ExpiryOption | undefined;
  for (let index = 2; index < args.length; index++) {
    const name = optionName(args[index]!);
    const argument = args[index + 1];
    if (name === 'PERSIST' && expiry === undefined) {
      persist = true;
    } else if (isExpiryUnit(name) && !persist && (expiry?.unit ?? name) === name && argument !== undefined) {
      expiry = { unit: name, text: argument };
      index++;
    } else {
      throw errors.syntax();
    }
  }
  return { persist, expiry };
}
