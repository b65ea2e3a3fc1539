//! One row of a table is one exported function, with its prototype.
//!
//! Owns: what the kinds of rows become. Does not own: which functions there are (the tables), the rules (`passing.rs`).
//!
//! | kind | who answers |
//! |---|---|
//! | `image` | the library whose image the handle is |
//! | `aio` | the same; the completion stands between semicolons |
//! | `own` | this library |
//! | `theirs` | the stock library if it is loaded, for it has made what is given back |
//! | `stock` | the stock library if there is one; the first argument is a pool |
//! | `cluster` | the same; the first argument is a cluster handle |
//! | `named` | the library that has an image of that name, the second argument |
//! | `trashed` | this library if its trash has that id, the second argument; else the stock library |
//! | `grouped` | the library that has a group of that name, the second argument |

/// Exports functions. `HOME` is the module with this library's own: `KIND fn HOME::NAME(ARGUMENTS) -> RESULT;`
macro_rules! functions {
    ($($kind:ident fn $home:ident::$name:ident($($arguments:tt)*) $(-> $result:ty)?;)*) => {
        $(exported!($kind $home $name ($($arguments)*) ($($result)?));)*
    };
}

/// The stock library's function of that name.
macro_rules! stock_symbol {
    ($name:ident ($($type:ty),*) ($($result:ty)?)) => {{
        static STOCK: $crate::stock::symbol::Symbol<unsafe extern "C" fn($($type),*) $(-> $result)?> =
            $crate::stock::symbol::Symbol::new(concat!(stringify!($name), "\0"));
        &STOCK
    }};
}

macro_rules! exported {
    (image $home:ident $name:ident (image: $image:ty $(, $argument:ident: $type:ty)*) ($($result:ty)?)) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(image: $image $(, $argument: $type)*) $(-> $result)? {
            let Some(found) = $crate::stock::images::find(image) else {
                // SAFETY: the same contract.
                return unsafe { $home::$name(image $(, $argument)*) };
            };
            $crate::face::passing::passed(found, |stock| {
                let function = stock_symbol!($name ($image $(, $type)*) ($($result)?)).get()?;
                // SAFETY: the same contract, with the stock library's image.
                Ok(unsafe { function(stock.raw() $(, $crate::face::passing::Passing::to_stock($argument))*) })
            })
        }
    };
    (aio $home:ident $name:ident
        (image: $image:ty $(, $before:ident: $of:ty)*; c: $completion:ty $(; $($after:ident: $type:ty),*)?)
        ($result:ty)
    ) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            image: $image $(, $before: $of)*, c: $completion $($(, $after: $type)*)?
        ) -> $result {
            let Some(found) = $crate::stock::images::find(image) else {
                // SAFETY: the same contract.
                return unsafe { $home::$name(image $(, $before)*, c $($(, $after)*)?) };
            };
            $crate::face::passing::passed(found, |stock| {
                let symbol = stock_symbol!($name ($image $(, $of)*, $completion $($(, $type)*)?) ($result));
                let function = symbol.get()?;
                $crate::stock::bridge::submit(c, Some(stock), |c| {
                    // SAFETY: the same contract, with the stock library's image and completion.
                    Ok(unsafe {
                        function(
                            stock.raw() $(, $crate::face::passing::Passing::to_stock($before))*, c
                            $($(, $crate::face::passing::Passing::to_stock($after))*)?
                        )
                    })
                })
            })
        }
    };
    (own $home:ident $name:ident ($($argument:ident: $type:ty),*) ($($result:ty)?)) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            // SAFETY: the same contract.
            unsafe { $home::$name($($argument),*) }
        }
    };
    (theirs $home:ident $name:ident ($($arguments:tt)*) ($($result:ty)?)) => {
        exported!(@if $crate::face::passing::is_loaded(); $home $name ($($arguments)*) ($($result)?));
    };
    (stock $home:ident $name:ident ($io:ident: $pool:ty $(, $argument:ident: $type:ty)*) ($result:ty)) => {
        exported!(@if $crate::face::passing::is_there_for($io); $home $name ($io: $pool $(, $argument: $type)*) ($result));
    };
    (cluster $home:ident $name:ident ($rados:ident: $cluster:ty $(, $argument:ident: $type:ty)*) ($result:ty)) => {
        exported!(@if $crate::face::passing::is_there_in($rados);
            $home $name ($rados: $cluster $(, $argument: $type)*) ($result));
    };
    (named $home:ident $name:ident ($io:ident: $pool:ty, $which:ident: $text:ty $(, $more:ident: $type:ty)*) ($result:ty)) => {
        exported!(@if $crate::face::names::stock_has($io, $which);
            $home $name ($io: $pool, $which: $text $(, $more: $type)*) ($result));
    };
    (trashed $home:ident $name:ident ($io:ident: $pool:ty, $id:ident: $text:ty $(, $more:ident: $type:ty)*) ($result:ty)) => {
        exported!(@if $crate::face::names::stock_trash_may_have($io, $id);
            $home $name ($io: $pool, $id: $text $(, $more: $type)*) ($result));
    };
    (grouped $home:ident $name:ident ($io:ident: $pool:ty, $group:ident: $text:ty $(, $more:ident: $type:ty)*) ($result:ty)) => {
        exported!(@if $crate::face::groups::stock_has($io, $group);
            $home $name ($io: $pool, $group: $text $(, $more: $type)*) ($result));
    };
    // An unsafe question, whose answer is an outcome, says whether it is the stock library's.
    (@if $question:expr; $home:ident $name:ident ($($argument:ident: $type:ty),*) ($($result:ty)?)) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            $crate::ffi::panic::guard(|| {
                // SAFETY: the same contract.
                if !unsafe { $question }? {
                    // SAFETY: the same contract.
                    return Ok(unsafe { $home::$name($($argument),*) });
                }
                let function = stock_symbol!($name ($($type),*) ($($result)?)).get()?;
                // SAFETY: the same contract.
                Ok(unsafe { function($($crate::face::passing::Passing::to_stock($argument)),*) })
            })
        }
    };
}
