/** Values of options that several commands have. */
import { InvalidArgumentError } from 'commander';

/** Parses a whole number from `min` to `max`. @throws InvalidArgumentError */
export function parseCount(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < min || value > max)
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** Where a server listens. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Parses `host:port`, or several with commas; a port alone is on this machine. @throws InvalidArgumentError */
export function parseTargets(text: string): Endpoint[] {
  return text.split(',').map((part) => {
    const match = /^(?:(.+):)?(\d{1,5})$/.exec(part.trim());
    if (!match || Number(match[2]) > 65535)
      throw new InvalidArgumentError('It must be host:port, or several with commas.');
    return { host: (match[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port: Number(match[2]) };
  });
}
