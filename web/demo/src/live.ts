import { connect } from "wirespeed";

/** The one connection that all live parts of this page share. */
export const live = connect();
