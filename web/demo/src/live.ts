import { connect } from "wirespeed";
import { Frames } from "./frames.js";

/** The frames of the connection. */
export const frames = new Frames();

/** The one connection that all live parts of this page share. */
export const live = frames.counted(() => connect());
