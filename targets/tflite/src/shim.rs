//! Delegates of an older layout, in hosts of the current one.
//!
//! `TfLiteRegistration` grew from 64 to 88 bytes, and `TfLiteDelegate` from 48 to 56, while
//! delegates pass the first by value and hosts read all of the second. A delegate built against
//! older headers, as Coral's released `libedgetpu` is, makes current TFLite call whatever lay
//! behind its registration. The cure has two parts:
//!
//! 1. The host is given an outer delegate of the full size, which passes every call on to the inner
//!    one, of which only the fields that all versions have are read.
//! 2. While the inner delegate prepares itself, the context's function that takes registrations is
//!    replaced by [`replace`], which reads the 64 bytes that all versions have, fills up the rest
//!    with zeros, and calls the original with the outer delegate.
//!
//! [`replace`] is called with a structure that may be larger than it declares. On x86-64 (System V)
//! such a structure lies on the stack after the return address, whatever its size; on AArch64 and
//! on 64-bit Windows its address is passed. Elsewhere, as on 32-bit Arm and x86, the arguments after
//! it would move: there this module is not compiled.

use std::{
    cell::{Cell, RefCell},
    ffi::{c_int, c_void},
    panic::catch_unwind,
    ptr,
};

use crate::sys::{
    self, Context, CopyBuffer, DelegateHead, FullDelegate, FullRegistration, IntArray,
    Registration, ReplaceNodes, ReplaceNodesFull, Tensor,
};

const _: () = assert!(size_of::<Registration>() == 64 && size_of::<FullRegistration>() == 88);
const _: () = assert!(size_of::<DelegateHead>() == 48 && size_of::<FullDelegate>() == 56);

/// A delegate of the full size, and the one that does its work.
#[repr(C)]
pub(crate) struct Shim {
    // First, so that a pointer to the delegate is one to the shim.
    outer: FullDelegate,
    inner: *mut DelegateHead,
    /// Nodes that the inner delegate has asked for.
    claimed: Cell<usize>,
}

/// A delegate that is preparing itself on this thread.
struct Preparing {
    context: *mut Context,
    original: *const c_void,
    inner: *mut DelegateHead,
    outer: *mut DelegateHead,
}

thread_local! {
    static PREPARING: RefCell<Vec<Preparing>> = const { RefCell::new(Vec::new()) };
}

impl Shim {
    /// A delegate around `inner`.
    ///
    /// # Safety
    /// `inner` is a classic delegate, whose `prepare` is not null, and outlives the shim.
    pub(crate) unsafe fn new(inner: *mut DelegateHead) -> Box<Self> {
        // SAFETY: the caller vouches for the fields that all versions have.
        let head = unsafe { *inner };
        let outer = DelegateHead {
            // Kernels that look at their delegate's data find it.
            data: head.data,
            prepare: Some(prepare),
            copy_from_buffer: head.copy_from_buffer.map(|_| copy_from as CopyBuffer),
            copy_to_buffer: head.copy_to_buffer.map(|_| copy_to as CopyBuffer),
            free_buffer: head.free_buffer.map(|_| free as sys::FreeBuffer),
            flags: head.flags,
        };
        Box::new(Self {
            outer: FullDelegate { head: outer, opaque_delegate_builder: ptr::null() },
            inner,
            claimed: Cell::new(0),
        })
    }

    /// How many nodes the delegate has claimed so far.
    pub(crate) fn claimed(&self) -> usize {
        self.claimed.get()
    }

    /// The delegate for the host.
    pub(crate) fn outer(&self) -> *mut DelegateHead {
        (&raw const self.outer).cast_mut().cast()
    }
}

/// The delegate inside of `outer`, and its fields.
///
/// # Safety
/// `outer` is the first field of a [`Shim`] that is alive.
unsafe fn inner(outer: *mut DelegateHead) -> (*mut DelegateHead, DelegateHead) {
    // SAFETY: by the caller; the inner delegate outlives the shim.
    unsafe {
        let inner = (*outer.cast::<Shim>()).inner;
        (inner, *inner)
    }
}

unsafe extern "C" fn prepare(context: *mut Context, outer: *mut DelegateHead) -> c_int {
    // SAFETY: TFLite calls with the delegate that it was given, which is a shim's.
    let (inner, head) = unsafe { inner(outer) };
    let Some(prepare) = head.prepare else { return sys::ERROR };
    // SAFETY: TFLite's context is valid and its own thread's during the call.
    let original = unsafe { (*context).replace_nodes };
    let preparing = Preparing { context, original, inner, outer };
    PREPARING.with_borrow_mut(|stack| stack.push(preparing));
    // SAFETY: as above. While the function is replaced only the inner delegate calls it.
    let status = unsafe {
        (*context).replace_nodes = replace as ReplaceNodes as *const c_void;
        let status = prepare(context, inner);
        (*context).replace_nodes = original;
        status
    };
    PREPARING.with_borrow_mut(|stack| stack.pop());
    status
}

/// Takes registrations in the inner delegate's place, see above.
unsafe extern "C" fn replace(
    context: *mut Context,
    registration: Registration,
    nodes: *const IntArray,
    delegate: *mut DelegateHead,
) -> c_int {
    let found = catch_unwind(|| {
        PREPARING.with_borrow(|stack| {
            let ours = |preparing: &&Preparing| {
                preparing.context == context && preparing.inner == delegate
            };
            stack.iter().rev().find(ours).map(|found| (found.original, found.outer))
        })
    });
    let Ok(Some((original, outer))) = found else { return sys::ERROR };
    if original.is_null() {
        return sys::ERROR;
    }
    // SAFETY: the delegate passes TFLite's own list of nodes, or null; `outer` is the first field of
    // a shim, whose cell only this thread touches while the delegate prepares itself.
    unsafe {
        let count = IntArray::as_slice(nodes).len();
        let claimed = &(*outer.cast::<Shim>()).claimed;
        claimed.set(claimed.get().saturating_add(count));
    }
    let registration = FullRegistration {
        common: registration,
        registration_external: ptr::null(),
        async_kernel: ptr::null(),
        inplace_operator: 0,
    };
    // SAFETY: this is what the context held for this very call; hosts of the older layout read the
    // first 64 bytes of the registration, at the same place.
    unsafe {
        let original = std::mem::transmute::<*const c_void, ReplaceNodesFull>(original);
        original(context, registration, nodes, outer)
    }
}

unsafe extern "C" fn copy_from(
    context: *mut Context,
    outer: *mut DelegateHead,
    handle: c_int,
    tensor: *mut Tensor,
) -> c_int {
    // SAFETY: TFLite calls with the delegate that it was given, which is a shim's.
    let (inner, head) = unsafe { inner(outer) };
    match head.copy_from_buffer {
        // SAFETY: the arguments are TFLite's for the delegate.
        Some(copy) => unsafe { copy(context, inner, handle, tensor) },
        None => sys::ERROR,
    }
}

unsafe extern "C" fn copy_to(
    context: *mut Context,
    outer: *mut DelegateHead,
    handle: c_int,
    tensor: *mut Tensor,
) -> c_int {
    // SAFETY: TFLite calls with the delegate that it was given, which is a shim's.
    let (inner, head) = unsafe { inner(outer) };
    match head.copy_to_buffer {
        // SAFETY: the arguments are TFLite's for the delegate.
        Some(copy) => unsafe { copy(context, inner, handle, tensor) },
        None => sys::ERROR,
    }
}

unsafe extern "C" fn free(context: *mut Context, outer: *mut DelegateHead, handle: *mut c_int) {
    // SAFETY: TFLite calls with the delegate that it was given, which is a shim's.
    let (inner, head) = unsafe { inner(outer) };
    if let Some(free) = head.free_buffer {
        // SAFETY: the arguments are TFLite's for the delegate.
        unsafe { free(context, inner, handle) }
    }
}
