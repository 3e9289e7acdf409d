/** What a file of this folder says about a group of commands. */
import type { CommandLine } from '../resp-connection.ts';
import type { Words } from './words.ts';

export interface SequenceGroup {
  readonly name: string;
  /** Its commands, each as likely as the others; one that matters more may be there twice. */
  readonly commands: readonly Words[];
  /** Iterations such as `HSCAN key`: the words in front of the cursor. They are run to the end, and what they find is compared as a set. */
  readonly scans?: readonly Words[];
  /** What may follow the cursor, up to two of them. */
  readonly scanOption?: Words;
  /** Commands that remove members of a set that the server chooses, such as SPOP. They are compared in how many they choose, and what they took is put back. */
  readonly pops?: readonly Words[];
  /** False for commands that Redis answers by chance, or that its version does not know. Asked for the commands of all groups. */
  readonly isComparable?: (command: CommandLine) => boolean;
  /** How much there is of other groups' commands, in relation to 12 of its own; 2 by default. */
  readonly others?: number;
}
