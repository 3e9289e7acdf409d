/** A Dockerfile as its builder reads it: stages of instructions. Only what ours uses: no heredocs, no ARG. */

/** One instruction. */
export interface Instruction {
  /** `RUN`, `COPY` and so on. */
  readonly keyword: string;
  /** Flags such as `--from=build`. */
  readonly flags: Readonly<Record<string, string>>;
  /** What follows, continued lines joined. */
  readonly text: string;
  /** The parts of the exec form, `["node", "-e", "..."]`; undefined in the shell form. */
  readonly words: readonly string[] | undefined;
}

/** From one FROM to the next. */
export interface Stage {
  readonly base: string;
  /** Undefined when it has none. */
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

function instructionOf(line: string): Instruction {
  const [, keyword, rest] = /^(\w+)\s+(.*)$/.exec(line)!;
  const flags: Record<string, string> = {};
  let text = rest!;
  for (let match = /^--([\w-]+)=(\S+)\s+/.exec(text); match !== null; match = /^--([\w-]+)=(\S+)\s+/.exec(text)) {
    flags[match[1]!] = match[2]!;
    text = text.slice(match[0].length);
  }
  const exec = text.replace(/^CMD\s+/, '');
  const words = exec.startsWith('[') ? (JSON.parse(exec) as string[]) : undefined;
  return { keyword: keyword!, flags, text, words };
}

/** Reads the text of a Dockerfile. */
export function stagesOf(text: string): Stage[] {
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\s*\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const stages: Stage[] = [];
  for (const line of lines) {
    const from = /^FROM (\S+)(?: AS (\S+))?$/.exec(line);
    if (from !== null) stages.push({ base: from[1]!, name: from[2], instructions: [] });
    else (stages.at(-1)!.instructions as Instruction[]).push(instructionOf(line));
  }
  return stages;
}

/** All instructions of a kind in a stage. */
export const instructionsOf = (stage: Stage, keyword: string): Instruction[] =>
  stage.instructions.filter((instruction) => instruction.keyword === keyword);
