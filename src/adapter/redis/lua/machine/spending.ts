/** Work that no instruction stands for, and what it costs in instructions, by the time that it takes. */

/** Counts work, and ends the script that has done too much. @param state the thread that works */
export type Spend = (state: number, instructions: number) => void;

/** Bytes that are read or copied in the time of an instruction. */
export const BYTES_PER_INSTRUCTION = 16;
