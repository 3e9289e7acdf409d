/** What options of benchmarks take. */
import { InvalidArgumentError } from 'commander';

/** A number above 0, as a parser for commander. @param max the largest one that is taken */
export function count(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value > 0 && value <= max)) throw new InvalidArgumentError(`It must be a number above 0, at most ${max}.`);
    return value;
  };
}
