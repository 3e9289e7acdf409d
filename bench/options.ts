/** What benchmarks and soaks have in common of their command lines: the same options in the same words, and `--help`. */
import { Command, InvalidArgumentError } from 'commander';

/** A number above 0, as a parser for commander. @param max the largest one that is taken */
export function count(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value > 0 && value <= max)) throw new InvalidArgumentError(`It must be a number above 0, at most ${max}.`);
    return value;
  };
}

/** Some of the known words with commas between, as a parser for commander. */
export function someOf<Word extends string>(known: readonly Word[], separator = ','): (text: string) => Word[] {
  return (text) => {
    const words = text.split(separator) as Word[];
    const unknown = words.find((word) => !known.includes(word));
    if (unknown !== undefined)
      throw new InvalidArgumentError(`There is no ${unknown}; known are ${known.join(`${separator} `)}.`);
    return words;
  };
}

/** One of the known words, as a parser for commander. */
export function oneOf<Word extends string>(known: readonly Word[]): (text: string) => Word {
  return (text) => {
    const word = known.find((each) => each === text);
    if (word === undefined) throw new InvalidArgumentError(`It must be ${known.join(' or ')}.`);
    return word;
  };
}

/** What a benchmark is about. */
export interface Benchmark {
  /** Behind `npm run`. */
  readonly script: string;
  readonly says: string;
  /** Which other systems are measured beside it, and how they are set up; where there is none, why. */
  readonly peers: string;
  /** Of each load, unless asked for otherwise; left out where there is no such option. */
  readonly rounds?: number;
  readonly seconds?: number;
  /** What `--quick` does. */
  readonly quick?: string;
  /** It keeps data on a disk. */
  readonly hasData?: boolean;
}

/** Options that `benchmark` declares, as far as it was asked to. */
export interface BenchmarkOptions {
  readonly rounds: number;
  /** Of each load. */
  readonly seconds: number;
  readonly quick?: boolean;
  readonly folder?: string;
  readonly json?: boolean;
}

/** The command of a benchmark, with the options that it shares with others. */
export function benchmark({ script, says, peers, rounds, seconds, quick, hasData = true }: Benchmark): Command {
  const command = new Command(`npm run ${script} --`).description(says);
  if (rounds !== undefined)
    command.option(
      '-r, --rounds <count>',
      'rounds; the smallest, the middle and the largest are shown',
      count(100),
      rounds,
    );
  if (seconds !== undefined) command.option('-s, --seconds <seconds>', 'length of each load', count(600), seconds);
  if (quick !== undefined) command.option('-q, --quick', `${quick}: shows that everything works, not what is fast`);
  if (hasData)
    command.option(
      '--folder <folder>',
      'where the data goes: its disk is what is measured (default: the temporary folder)',
    );
  command.option('--json', 'print the result file instead of the tables');
  return command.addHelpText(
    'after',
    `\nBeside it: ${peers}\nA bar that is missed makes the exit code 1; none is judged on a machine that is not quiet.`,
  );
}
